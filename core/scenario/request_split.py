"""On which side of a split by hash a request is: the same in every study, on every machine. Pure."""

import hashlib
from typing import Literal

from core.spec.request_sets import SplitSpec

_DIGITS = 16


def side_of(split: SplitSpec, *, text: str, cluster: str | None) -> Literal["a", "b"]:
    """Side a where `int(first 16 hex digits of sha256(salt + ":" + key)) < share * 2**64`; the key is the cluster, else
    the text.

    Two studies with `side: a` and `side: b`, the same share and the same salt, share no request and no cluster.
    """
    digest = hashlib.sha256(f"{split.salt}:{text if cluster is None else cluster}".encode()).hexdigest()
    return "a" if int(digest[:_DIGITS], 16) < split.share * 16**_DIGITS else "b"
