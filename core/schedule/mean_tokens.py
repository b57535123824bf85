"""How long the replies of each kind of call have been, for the order of work at the tail of a run. Pure."""

from collections import Counter
from collections.abc import Hashable


class MeanTokens:
    """Mean output tokens of the replies seen so far, by prefix; of an unseen one the mean of all."""

    def __init__(self) -> None:
        self._tokens: Counter[Hashable] = Counter()
        self._replies: Counter[Hashable] = Counter()

    def add(self, prefix: Hashable, tokens: int) -> None:
        """A reply has come."""
        self._tokens[prefix] += tokens
        self._replies[prefix] += 1

    def of(self, prefix: Hashable) -> float:
        """Output tokens that a call of the prefix is expected to take."""
        if self._replies[prefix]:
            return self._tokens[prefix] / self._replies[prefix]
        total = self._replies.total()
        return self._tokens.total() / total if total else 0.0
