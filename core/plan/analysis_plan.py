"""What a study said it would test before its first call: alpha, margins, contrasts, families and n, and their digest.

The snapshot that is stored before the first call holds it, so that a later change shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.identity import fingerprint
from core.spec.analysis import AnalysisSpec


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """Key → value, as plain data; `n_requests` among them."""

    parts: Mapping[str, object]

    @property
    def digest(self) -> str:
        """Equal where everything is."""
        return fingerprint(dict(self.parts))

    def changes(self, now: "AnalysisPlan") -> tuple[str, ...]:
        """What another plan changes, a line each; empty where nothing."""
        keys = [*self.parts, *(key for key in now.parts if key not in self.parts)]
        return tuple(
            f"{key}: {_shown(self.parts.get(key))} → {_shown(now.parts.get(key))}"
            for key in keys
            if self.parts.get(key) != now.parts.get(key)
        )


def registered(analysis: AnalysisSpec, *, requests: int) -> AnalysisPlan:
    """The plan of an `analysis` and a number of requests."""
    parts = {f"analysis.{key}": value for key, value in analysis.model_dump(mode="json").items()}
    return AnalysisPlan({**parts, "requests": requests})


def _shown(value: object) -> str:
    return "none" if value in (None, [], {}) else str(value)
