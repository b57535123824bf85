"""A compact set of digests says the same as a set of texts."""

import random

from core.identity import text_digest
from core.store.digest_set import MOST_RECENT, DigestSet


def test_it_lacks_exactly_what_was_not_added() -> None:
    digests = [text_digest(str(number)) for number in range(2 * MOST_RECENT + 10)]
    known, plain = DigestSet(), set()
    for begin in range(0, len(digests) - 1000, 999):
        known.add(digests[begin : begin + 999])
        plain.update(digests[begin : begin + 999])
    asked = random.Random(1).sample(digests, 5000) + digests[-1000:]
    assert known.lacking(asked) == set(asked) - plain
    assert len(known) == len(plain)
    assert DigestSet().lacking(["x"]) == {"x"}


def test_texts_that_are_no_digests_count_as_themselves() -> None:
    known = DigestSet()
    known.add(["c1", "z" * 32, *(text_digest(str(number)) for number in range(MOST_RECENT + 1))])
    assert known.lacking(["c1", "c2", "z" * 32]) == {"c2"}
