"""The only randomness of a behaviour: hashes. The same call draws the same numbers in every process and on a retry."""

from collections.abc import Mapping
from hashlib import blake2b


def uniform(digest: str, call_id: str, *, purpose: str, index: int = 0) -> float:
    """A number in [0, 1) for one purpose; `index` is the choice of a reply or the attempt of a call."""
    key = f"{digest}\n{call_id}\n{index}\n{purpose}".encode()
    return int.from_bytes(blake2b(key, digest_size=7).digest()) / 2**56


def pick(rates: Mapping[str, float], number: float) -> str | None:
    """The name in whose share of [0, 1) the number falls; None where it falls in nobody's."""
    edge = 0.0
    for name, rate in rates.items():
        edge += rate
        if number < edge:
            return name
    return None
