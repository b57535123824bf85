"""Identity is content: one canonical form, one digest. Anything without a canonical form is refused."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring

ID_VERSION = 1
"""Part of every content id; raised when the meaning of a hashed field changes."""

ID_LENGTH = 32
"""Hex digits kept of an id: 128 bits."""


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. TypeError where there is none."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(*parts: object) -> str:
    """First 32 hex digits of the sha256 of the parts' canonical JSON."""
    # the same text as canonical_json(parts), put together by hand: millions of ids are made of plain texts and numbers
    text = f"[{','.join([_scalar_json(part) for part in parts])}]"
    return json_digest(text)


def json_digest(text: str) -> str:
    """The fingerprint of parts whose canonical JSON, as a list, is already written."""
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def text_digest(text: str) -> str:
    """First 32 hex digits of the sha256 of a text: its key in the table `texts`."""
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _scalar_json(value: object) -> str:
    if type(value) is str:
        return encode_basestring(value)
    return str(value) if type(value) is int else canonical_json(value)


def _plain(value: object) -> object:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("only mappings with text keys have a canonical form")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")
