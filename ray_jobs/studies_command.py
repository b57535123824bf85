"""`afgap studies`: the studies that come with the package: what each asks, and what it will take. Needs no key."""

import json
from dataclasses import asdict

import click

from ray_jobs.study_list import StudyFacts, find_study, markdown_table, shipped_studies, usd_words
from tracking.terminal import console, print_studies


def show_studies(*, study: str | None, as_json: bool, as_markdown: bool) -> int:
    """Print all studies, or one of them in full; 0. SpecError for an unknown name."""
    studies = shipped_studies() if study is None else (find_study(study),)
    if as_json:
        click.echo(json.dumps([_as_data(each) for each in studies], indent=1))
    elif as_markdown:
        click.echo(markdown_table(studies), nl=False)
    elif study is not None:
        _explain(studies[0])
    else:
        print_studies(console(), [(each.name, *_row(each)) for each in studies])
        click.echo(
            "`afgap studies NAME` tells all of one; `afgap plan FILE` plans it. Calls, tokens and USD are estimates."
        )
    return 0


def _row(study: StudyFacts) -> tuple[str, ...]:
    asks = study.about.question if study.about else "no experiment of the paper"
    models = f"{len(study.models)}" + (f" (-{len(study.unavailable)})" if study.unavailable else "")
    return asks, models, f"{study.cells}", f"{study.n}", f"{study.calls:,}", f"{study.usd:,.0f}"


def _as_data(study: StudyFacts) -> dict[str, object]:
    about = study.about.model_dump(mode="json") if study.about else None
    return {**asdict(study), "about": about, "tokens": study.tokens}


def _explain(study: StudyFacts) -> None:
    if study.about is not None:
        click.echo(f"{study.about.experiment}: {study.about.question}")
    click.echo(f"file: {study.file}")
    click.echo(f"models: {', '.join(study.models)}")
    for name, reason in study.unavailable.items():
        click.echo(f"not available: {name}: {reason}: counted here, left out by run")
    click.echo(f"scenarios: {', '.join(study.scenarios)}")
    click.echo(
        f"{len(study.models)} models × {study.cells} cells × n {study.n} = {study.generations:,} generations; with "
        f"judges {study.calls:,} calls, {study.input_tokens:,} tokens in, {study.output_tokens:,} out, "
        f"USD {usd_words(study)}"
    )
    for note in study.about.notes if study.about else ():
        click.echo(f"note: {note}")
