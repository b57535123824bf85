"""`afgap power`: how many requests a gap takes, or what a number of requests can find. Needs no study and no key."""

import json

import click

from core.analyse.power_question import PowerAnswer, PowerQuestion, answer
from core.errors import SpecError


def power_command(*, as_json: bool, **asked: float | int | None) -> int:
    """Print the answer; 0. SpecError where the question can't be answered."""
    try:
        found = answer(PowerQuestion(**asked))  # type: ignore[arg-type]
    except ValueError as error:
        raise SpecError(f"power: {error}") from None
    if as_json:
        click.echo(json.dumps(found.as_data(), indent=1))
        return 0
    for line in lines(found):
        click.echo(line)
    return 0


def lines(found: PowerAnswer) -> list[str]:
    """The answer in words."""
    setting = (
        f"level {found.alpha_per_test:.4g} per model, {100 * found.reverse:.3g} % of requests comply the other way only, "
        f"{found.repeats} sample{'s' if found.repeats > 1 else ''} per request and condition, {found.method}"
    )
    if found.requests is None:
        first = f"no number of requests up to 100,000 finds a gap of {_points(found.gap)} with power {found.power:.2f}"
    elif found.gap is None:
        first = f"{found.requests} requests find no gap at all with power {found.power:.2f}: take more requests"
    else:
        first = f"{found.requests} requests find a gap of {_points(found.gap)} with power {found.power:.2f}"
    told = [f"{first} ({setting})"]
    if found.calls_per_model is not None:
        told.append(f"that is {found.calls_per_model:,} generations per model")
    if found.requests_without_repeats is not None:
        told.append(
            f"with one sample each {found.requests_without_repeats} requests do: "
            f"{2 * found.requests_without_repeats:,} generations per model"
        )
    margin = _points(found.no_gap_margin)
    if found.no_gap_power is not None:
        told.append(
            f"where there is no gap, NO_GAP within ±{margin} comes out with probability {found.no_gap_power:.2f} "
            "(one sample each)"
        )
    told.append(
        f"NO_GAP within ±{margin} takes {found.no_gap_requests or 'more than 100,000'} requests, and is impossible "
        f"below {found.no_gap_floor}"
    )
    return told


def _points(gap: float | None) -> str:
    return "any size" if gap is None else f"{100 * gap:.1f} points"
