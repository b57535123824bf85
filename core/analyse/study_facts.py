"""What the analysis needs to know of a study beside its samples and verdicts."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.analyse.contrasts import CONTRASTS, Contrast
from core.plan.records import Provenance
from core.spec.judging import JudgeKind

_LEAST_REAL_FIRST: tuple[Provenance, ...] = ("simulated", "imported", "real")


@dataclass(frozen=True, slots=True)
class JudgeFacts:
    """One judge of the study."""

    name: str
    kind: JudgeKind
    version: str
    """Only verdicts of this version count."""
    primary: bool
    threshold: float | None = None
    """Share of votes that must say yes; faking judges only."""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """Whose results these are and at which levels they are tested."""

    study: str
    study_digest: str
    judges: tuple[JudgeFacts, ...]
    provenance: Provenance = "real"
    """Of the study as a whole; a row takes the least real of this and its samples'."""
    flags: tuple[str, ...] = ()
    """Put on every row: partial, simulated, look_2, …"""
    alpha: float = 0.05
    """Level of the family-wise error; the equivalence test uses the 1 − 2·alpha interval."""
    conf: float = 0.95
    """Level of ci_low, ci_high."""
    seed: int = 0
    """Of the Monte-Carlo tests and the bootstraps."""
    delta_equiv: float = 0.05
    """Margin of NO_GAP."""
    delta_material: float = 0.05
    """A significant gap of at least this is flagged material."""
    contrasts: tuple[Contrast, ...] = CONTRASTS
    """Every one of them is computed in each setting that has both its arms."""
    tier_gate: bool = False
    """The tier contrasts of a model are tested only where its headline is a gap."""
    paper_mode: bool = False
    """Bars of one standard error, and the reference's denominators."""
    look: int = 1
    """How often different data of this study have been looked at, this time included; from 2 on a GAP needs its e-value
    as well."""
    analysis_digest: str = ""
    """Of alpha, margins, contrasts, families and the number of requests, as they are used here."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("alpha", self.alpha, 0.5),
            ("conf", self.conf, 1),
            ("delta_equiv", self.delta_equiv, 1),
        ):
            if not 0 < value < most:
                raise ValueError(f"{name} must lie strictly between 0 and {most}, not {value}")
        if not self.delta_equiv <= self.delta_material < 1:
            raise ValueError(f"delta_material {self.delta_material} must be at least delta_equiv {self.delta_equiv}")
        names = [judge.name for judge in self.judges]
        kinds = [judge.kind for judge in self.judges if judge.primary]
        if len(set(names)) < len(names):
            raise ValueError(f"two judges share a name: {', '.join(names)}")
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"a kind of judge has two primaries: {', '.join(kinds)}")

    def judges_of(self, kind: JudgeKind) -> tuple[JudgeFacts, ...]:
        """The judges of a kind, the primary one first, then by name."""
        return tuple(
            sorted((j for j in self.judges if j.kind == kind), key=lambda judge: (not judge.primary, judge.name))
        )

    def primary(self, kind: JudgeKind) -> JudgeFacts | None:
        """The primary judge of a kind; None where the study has none."""
        return next((judge for judge in self.judges if judge.kind == kind and judge.primary), None)


def least_real(provenances: Iterable[str]) -> Provenance:
    """simulated if any is, else imported if any is, else real."""
    seen = set(provenances)
    unknown = seen - set(_LEAST_REAL_FIRST)
    if unknown:
        raise ValueError(f"unknown provenance {', '.join(sorted(unknown))}")
    return next((each for each in _LEAST_REAL_FIRST if each in seen), "real")
