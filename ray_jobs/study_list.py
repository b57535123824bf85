"""The studies that come with the package, and what each will take: counted from its file alone, with no key and no hub.

Request sets of the hub are reckoned as they are where they are not at hand, so the numbers are the same everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import SpecError
from core.plan.build import build_snapshot
from core.plan.estimate import StageEstimate, planned_stages
from core.scenario.requests import load_requests
from core.spec.about import AboutSpec
from core.spec.catalogue import unavailable
from core.spec.load import load_study
from core.spec.prices import model_facts
from core.spec.study import StudySpec
from ray_jobs.preparation import behaviour_digests

FOLDER = Path(__file__).parent / "studies"


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """One study as its file has it."""

    name: str
    file: str
    """Path from the root of the repository."""
    about: AboutSpec | None
    """None: it is no experiment of the paper."""
    models: tuple[str, ...]
    unavailable: Mapping[str, str]
    """Model → why nobody can call it: counted here, left out by `run`."""
    cells: int
    scenarios: tuple[str, ...]
    n: int
    """Requests in each cell; the most, where sets differ."""
    generations: int
    calls: int
    """Generations and planned judge draws."""
    input_tokens: int
    output_tokens: int
    usd: float
    """Without models whose price is unknown, and without the cost of your own machines."""
    unknown_prices: tuple[str, ...]
    on_own_machines: tuple[str, ...]
    """Models that vLLM serves."""

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


def shipped_studies(folder: Path = FOLDER) -> tuple[StudyFacts, ...]:
    """Every study of the folder, the paper's figures in their order, then those that are no figure."""
    found = [study_facts(path) for path in folder.glob("*.yaml")]
    return tuple(sorted(found, key=lambda each: (each.about is None, _figure(each.name), each.name)))


def find_study(name: str, folder: Path = FOLDER) -> StudyFacts:
    """The study of that name. SpecError where there is none."""
    path = folder / f"{name}.yaml"
    if path.parent != folder or not path.is_file():
        raise SpecError(f"{name}: no study of that name comes with afgap: `afgap studies` lists those that do")
    return study_facts(path)


def study_facts(path: Path) -> StudyFacts:
    """Count one study."""
    spec = load_study(path)
    requests = load_requests(spec.requests, folder=path.parent, look_for_hub=False).requests
    snapshot = build_snapshot(
        spec, folder=path.parent, behaviours=behaviour_digests(spec), requests=requests, is_outline=True
    )
    facts = {entry.name: model_facts(entry) for entry in spec.models}
    stages = planned_stages(snapshot, facts=facts)
    return StudyFacts(
        name=spec.study,
        file=f"ray_jobs/studies/{path.name}",
        about=spec.about,
        models=tuple(entry.name for entry in spec.subjects),
        unavailable=_unavailable(spec),
        cells=len(snapshot.cells),
        scenarios=tuple(dict.fromkeys(cell.scenario for cell in snapshot.cells)),
        n=max(snapshot.set_sizes.values()) * spec.sampling.repeats,
        generations=len(snapshot.trials),
        calls=sum(stage.calls for stage in stages),
        input_tokens=sum(stage.input_tokens for stage in stages),
        output_tokens=sum(stage.output_tokens for stage in stages),
        usd=sum(stage.usd or 0.0 for stage in stages),
        unknown_prices=_unknown(stages),
        on_own_machines=tuple(entry.name for entry in spec.models if entry.engine == "vllm"),
    )


def markdown_table(studies: Iterable[StudyFacts]) -> str:
    """The table of docs/studies.md."""
    head = ("experiment", "study", "models", "cells", "n", "generations", "calls", "tokens", "USD")
    lines = [_line(head), _line(["---", "---", *["---:"] * 7])]
    lines += [_line(_columns(each)) for each in studies if each.about is not None]
    return "\n".join(lines) + "\n"


def usd_words(study: StudyFacts) -> str:
    """Its cost, and what is not in it."""
    beside = []
    if study.unknown_prices:
        beside.append(f"{len(study.unknown_prices)} without a price")
    if study.on_own_machines:
        beside.append(f"{len(study.on_own_machines)} on own GPUs")
    return f"{study.usd:,.0f}" + (f" + {', '.join(beside)}" if beside else "")


def _columns(study: StudyFacts) -> Sequence[str]:
    assert study.about is not None
    gone = f" ({len(study.unavailable)} not available)" if study.unavailable else ""
    return (
        study.about.experiment,
        f"`{study.name}`",
        f"{len(study.models)}{gone}",
        f"{study.cells}",
        f"{study.n}",
        f"{study.generations:,}",
        f"{study.calls:,}",
        f"{study.tokens / 1e6:,.0f} M",
        usd_words(study),
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _unavailable(spec: StudySpec) -> dict[str, str]:
    return {entry.name: reason for entry in spec.models if (reason := unavailable(entry)) is not None}


def _unknown(stages: Iterable[StageEstimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stage.model for stage in stages if stage.usd is None))


def _figure(name: str) -> int:
    """The first number of a study's name; sections come after the figures."""
    digits = "".join(letter if letter.isdigit() else " " for letter in name).split()
    return int(digits[0]) if digits and name.startswith("fig") else 1000
