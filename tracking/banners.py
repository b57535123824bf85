"""The reservations that no reader may miss, the same on the page, in the terminal and in MLflow."""

from collections.abc import Iterator
from typing import NamedTuple

from core.analyse.analysis import Analysis
from core.plan.snapshot import Snapshot
from tracking.labels import some_of


class Banner(NamedTuple):
    """A reservation that no reader may miss."""

    title: str
    text: str


def banners(analysis: Analysis) -> Iterator[Banner]:
    """Every reservation that holds, the gravest first."""
    snapshot = analysis.snapshot
    simulated = _flagged(snapshot, "simulated")
    if simulated or "simulated" in analysis.samples["provenance"]:
        yield Banner(
            "Simulated results",
            f"A script wrote the replies of {some_of(simulated) or 'some calls'}. These numbers say nothing about any "
            "model.",
        )
    if "imported" in analysis.samples["provenance"]:
        yield Banner("Imported transcripts", "Some replies were made elsewhere and brought in as they were.")
    if "partial" in analysis.facts.flags:
        there = f"{analysis.samples.height:,} of {len(snapshot.trials):,}"
        if snapshot.spec.is_imported:
            text = f"{there} combinations of model, cell, request and repeat were imported."
            yield Banner("Partial import", text)
        else:
            text = f"{there} planned replies are there. The same command goes on; numbers will change."
            yield Banner("Partial run", text)
    if analysis.facts.paper_mode:
        yield Banner(
            "Paper mode",
            "Bars are one standard error and the verdict is the paper's rule, a gap above 1 %: it fires on a third of "
            "models that have none. The strict decision stands beside it.",
        )
    if analysis.facts.look > 1:
        yield Banner(
            f"Look {analysis.facts.look} at growing data",
            "The data was analysed before it had all its replies, so p-values are too small: a gap is stated only "
            "where its e-value allows it.",
        )
    if analysis.plan_changes:
        yield Banner("Analysis changed since the first call", "; ".join(analysis.plan_changes))
    if "look_not_stored" in analysis.facts.flags:
        yield Banner("Look not stored", "The workspace was in use: later results won't know of this look.")
    tiny = is_tiny(snapshot)
    if tiny:
        yield Banner(
            "Tiny model",
            f"{some_of(tiny)}: the bundled SmolLM2-135M is too small to follow the scenario or to judge. It shows "
            "that the measurement runs, not how language models behave.",
        )
    yield Banner(
        "Judges not validated",
        "No judge was compared with labels by people. How often it is wrong is unknown, and its errors are in every "
        "rate and gap.",
    )
    unpinned = _flagged(snapshot, "unpinned")
    if unpinned:
        yield Banner(
            "Unpinned models",
            f"{some_of(unpinned)}: the name names no fixed version, so the same study may meet another model later.",
        )


def is_tiny(snapshot: Snapshot) -> list[str]:
    """Labels of the entries that run on a bundled model."""
    return [model.name for model in snapshot.spec.models if model.model.startswith("bundled:")]


def _flagged(snapshot: Snapshot, flag: str) -> list[str]:
    return [label for label, flags in snapshot.flags.items() if flag in flags]
