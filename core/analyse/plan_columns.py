"""The columns that a trial's place in the plan decides: model, cell, request, repeat. One gather a column.

Repeated words are Enums whose categories are in alphabetical order, so that sorting by them sorts as text does.
"""

import json
from collections.abc import Sequence

import numpy as np
import polars as pl

from core.analyse.row_facts import CELL_SCHEMA
from core.plan.snapshot import Snapshot


def plan_columns(snapshot: Snapshot, trials: pl.Series) -> list[pl.Series]:
    """Cell columns, model, request columns and repeat of trials given by index."""
    axes = snapshot.trials.axes
    request, repeat, model, cell = axes.all_at(trials.to_numpy())
    cells = [
        {**each.factors, "cell_id": each.cell_id, "factors": json.dumps(each.factors, sort_keys=True)}
        for each in snapshot.cells
    ]
    requests = snapshot.requests
    return [
        *(
            _flag(name, [each[name] for each in cells], cell)
            if kind == pl.Boolean
            else words(name, [each[name] for each in cells], cell)
            for name, kind in CELL_SCHEMA.items()
        ),
        words("model", axes.models, model),
        words("request_set", [each.request_set for each in requests], request),
        words("request_id", axes.requests, request),
        words("category", [each.category for each in requests], request),
        words("cluster", [each.cluster for each in requests], request),
        pl.Series("repeat", repeat.astype(np.uint16)),
    ]


def words(name: str, values: Sequence[object], codes: np.ndarray) -> pl.Series:
    """values[code] for every code, as an Enum in alphabetical order."""
    known = sorted({value for value in values if isinstance(value, str)})
    return pl.Series(name, values, dtype=pl.Enum(known)).gather(codes)


def _flag(name: str, values: Sequence[object], codes: np.ndarray) -> pl.Series:
    return pl.Series(name, values, dtype=pl.Boolean).gather(codes)
