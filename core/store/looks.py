"""Looks at a study's data: rows of kind `look` in the table `studies`, and the plan that was stored before them all.

A look is one state of the data under one analysis. From the second state on, p-values that assume a single look are
too small, so later results must know of earlier ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from core.identity import canonical_json
from core.plan.analysis_plan import AnalysisPlan, registered
from core.spec.load import parse_study
from core.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Look:
    """What was looked at, and how."""

    n_samples: int
    """Trials that were answered."""
    n_valid: int
    """Those with a value under the primary compliance judge."""
    n_trials: int
    """Planned trials."""
    analysis_digest: str

    @property
    def state(self) -> tuple[int, int]:
        """Of the data: replies are never taken away, so their numbers tell states apart."""
        return self.n_samples, self.n_valid


def look_number(earlier: Sequence[Look], now: Look) -> int:
    """The how-manieth different state of the data this is; looking at the same again is no new look."""
    states = list(dict.fromkeys(look.state for look in (*earlier, now)))
    return states.index(now.state) + 1


def stored_looks(workspace: Workspace, study: str) -> tuple[Look, ...]:
    """All looks at a study, the first one first."""
    rows = _rows(workspace, study, kind="look")
    return tuple(Look(**json.loads(body)) for body in rows["body"])


def registered_plan(workspace: Workspace, study: str) -> AnalysisPlan | None:
    """What the study's first snapshot, stored before its first call, said it would test; None without one."""
    rows = _rows(workspace, study, kind="snapshot")
    if rows.is_empty():
        return None
    raw: Mapping[str, Any] = json.loads(rows["body"][0])
    spec = parse_study(raw["spec"], origin="stored snapshot")
    return registered(spec.analysis, requests=len(raw["requests"]))


def look_row(look: Look, *, study: str, study_digest: str) -> dict[str, Any]:
    """A row of `studies` that holds a look; the time is added where it is written."""
    return {
        "kind": "look",
        "study": study,
        "study_digest": study_digest,
        "run_id": "",
        "body": canonical_json(asdict(look)),
    }  # fmt: skip


def _rows(workspace: Workspace, study: str, *, kind: str) -> pl.DataFrame:
    where = (pl.col("study") == study) & (pl.col("kind") == kind)
    return workspace.read("studies", columns=["sequence", "body"], where=where).sort("sequence")
