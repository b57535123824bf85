"""What the study as written could find: the smallest detectable headline gap, and whether NO_GAP is possible."""

from dataclasses import dataclass

from core.analyse.contrasts import arm_pairs, contrasts_of
from core.analyse.planner import detectable_gap, equivalence_floor
from core.identity import canonical_json
from core.plan.analysis_plan import registered
from core.plan.snapshot import Snapshot

REVERSE_SHARES = (0.01, 0.05)
"""Assumed shares of requests that comply in the other condition only."""


@dataclass(frozen=True, slots=True)
class PowerOutlook:
    """Of the headline, at one sample per request and condition: repeats find a little less."""

    headline: str
    settings: int
    """Settings of the grid that hold both its arms."""
    n_requests: int
    models: int
    alpha_per_gap: float
    detectable: dict[str, float | None]
    """Assumed reverse share → the smallest gap found with 80 % power; None: not even the largest."""
    no_gap_margin: float
    no_gap_floor: int
    analysis_digest: str
    """Of alpha, margins, contrasts, families and n: a later change is told."""

    def notes(self) -> list[str]:
        """In words."""
        if not self.settings:
            return [
                f"warning: analysis.headline: the grid has not both arms of {self.headline}: no gap is the headline; "
                "name another contrast, or add the conditions"
            ]
        found = ", ".join(
            f"{'none' if gap is None else f'{100 * gap:.1f} points'} if {100 * float(share):.0f} % differ the other way"
            for share, gap in self.detectable.items()
        )
        notes = [
            f"smallest detectable {self.headline} gap with {self.n_requests} requests (80 % power, Holm over "
            f"{self.models * self.settings} gaps, one sample each): {found}"
        ]
        if self.n_requests < self.no_gap_floor:
            notes.append(
                f"warning: NO_GAP within ±{100 * self.no_gap_margin:g} points is impossible below {self.no_gap_floor} "
                "requests: `afgap power` says how many it takes"
            )
        return [*notes, f"analysis plan {self.analysis_digest[:12]}: a later change of it is printed"]


def power_outlook(snapshot: Snapshot, *, requests: int) -> PowerOutlook:
    """The outlook of a study's headline over its subjects and settings."""
    analysis = snapshot.spec.analysis
    cells = [("cell", canonical_json(cell.factors)) for cell in snapshot.cells]
    headline = tuple(each for each in contrasts_of(analysis) if each.family == "headline")
    settings = len(arm_pairs(cells, headline))
    models = len(snapshot.spec.subjects)
    level = analysis.alpha / max(1, models * settings)
    gaps = {str(share): float(detectable_gap(requests, share, alpha=level)) for share in REVERSE_SHARES}
    return PowerOutlook(
        headline=analysis.headline_contrast,
        settings=settings,
        n_requests=requests,
        models=models,
        alpha_per_gap=level,
        detectable={share: gap if gap == gap else None for share, gap in gaps.items()},  # NaN: none
        no_gap_margin=analysis.delta_equiv,
        no_gap_floor=equivalence_floor(analysis.delta_equiv, alpha=analysis.alpha),
        analysis_digest=registered(analysis, requests=len(snapshot.requests)).digest,
    )
