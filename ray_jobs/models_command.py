"""`afgap models`: the model catalogue, with what the installed price list says of each. Needs no key and no network."""

import json

import click

from core.spec.catalogue import CatalogueModel, catalogue, find_model
from tracking.terminal import console, print_models

SAID_WHEN_UNKNOWN = ("context_length", "price")
"""Of the other fields a model may have none."""


def show_models(*, model: str | None, as_json: bool) -> int:
    """Print the catalogue, or one model of it; 0. SpecError for an unknown id."""
    held = catalogue()
    models = held.models if model is None else (find_model(model),)
    if as_json:
        click.echo(json.dumps({"as_of": held.as_of, "models": [each.row() for each in models]}, indent=1))
        return 0
    out = console()
    if model is None:
        print_models(out, [each.row() for each in models])
        click.echo(
            f"Status as of {held.as_of}; prices in USD per million tokens, and context lengths, from "
            f"{_price_list(models)}. - not known. Use one with `catalogue: ID`; `afgap models ID` tells all of it."
        )
        return 0
    for name, value in models[0].row().items():
        if value is not None or name in SAID_WHEN_UNKNOWN:
            shown = json.dumps(value) if isinstance(value, dict) else "not known" if value is None else value
            click.echo(f"{name}: {shown}")
    return 0


def _price_list(models: tuple[CatalogueModel, ...]) -> str:
    return next((facts.price_source for each in models if (facts := each.facts()).price_source != "free"), "no list")
