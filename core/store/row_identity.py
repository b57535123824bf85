"""Ids of stored calls, made again from what they stand for. Pure."""

from collections.abc import Collection, Iterator, Mapping

import polars as pl

from core.identity import ID_VERSION, fingerprint
from core.plan.snapshot import sent_sampling
from core.plan.trials import SHARED, call_id

_CONTENT = ("content_id", "stage", "target", "temperature", "max_tokens", "pattern")


def wrong_content_ids(rows: pl.DataFrame) -> Iterator[str]:
    """Call ids of rows of `calls` whose content id is not that of their messages, target and sampling."""
    message = pl.element().struct.field("role") + " " + pl.element().struct.field("digest")
    told = rows.select(
        "call_id", *_CONTENT, pl.col("messages").list.eval(message).list.join("\n").alias("told")
    ).unique([*_CONTENT, "told"])
    for call, content, stage, target, temperature, max_tokens, pattern, messages in told.iter_rows():
        digests = [line.split(" ") for line in (messages or "").split("\n")]
        sampling = sent_sampling(temperature, max_tokens=max_tokens or 0, pattern=pattern)
        if fingerprint(ID_VERSION, stage, target, digests, sampling) != content:
            yield call


Salts = Mapping[tuple[str, str], Collection[str]]
"""(study, stage) → the salts that the study's snapshots have had; a study that is missing had none."""


def wrong_call_ids(rows: pl.DataFrame, salts: Salts) -> Iterator[str]:
    """Call ids of rows of `calls` that do not follow from their content, draw, study and salt."""
    studies = sorted({study for study, _ in salts})
    asked = rows.select("call_id", "content_id", "stage", "study", "draw").unique("call_id")
    for call, content, stage, study, draw in asked.iter_rows():
        # a generation may be made under the key of the study whose lost reply it makes again, or under the shared one
        keys = (SHARED,) if stage == "judge" else (study, SHARED, *studies)
        ids = (
            call_id(content, reuse_key=key, draw=draw or 0, salt=salt)
            for key in keys
            for salt in salts.get((study, stage), ("",))
        )
        if call not in ids:
            yield call
