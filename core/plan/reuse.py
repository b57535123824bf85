"""Which stored generations a new snapshot uses: decided once, when it is written; no run decides it again. Pure.

Under `pair` all arms of a pair come from one study or from none, so that a provider's drift can't look like a gap.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from core.plan.snapshot import Snapshot
from core.plan.trials import SHARED, Trials
from core.scenario.cell import factors_id

STORED: Mapping[str, pl.DataType] = {
    "trial": pl.UInt32(),  # index of a trial that could use the reply: same content, repeat and salt
    "key": pl.String(),  # the reuse key of the reply's call
    "stored_at": pl.Datetime("us", "UTC"),
    "served_model": pl.String(),
}


def decide_reuse(snapshot: Snapshot, stored: pl.DataFrame, *, kept: Mapping[int, str]) -> Trials:
    """The trials of a snapshot that is about to be written, each with its reuse key.

    `stored`: a row of `STORED` for each reply and each trial that could use it; `kept`: index → key of the trials that
    are decided already.
    """
    if snapshot.spec.reuse == "pair":
        chosen = _whole_pairs(snapshot, stored, kept=kept)
    elif snapshot.spec.reuse == "any":
        chosen = _first_stored(stored, kept=kept)
    else:
        chosen = {}
    return snapshot.trials.with_keys({**chosen, **kept})


def kept_keys(previous: Snapshot, fresh: Snapshot) -> dict[int, str]:
    """Index → reuse key of those trials of `fresh` whose call `previous` has: their messages are unchanged."""
    before = set(previous.trials.call_ids(range(len(previous.trials))))
    kept: dict[int, str] = {}
    for key in previous.trials.keys or (previous.spec.study,):
        trials = Trials(fresh.trials.axes, fresh.trials.ids, reuse_key=key, salt=fresh.trials.salt)
        for index, call in enumerate(trials.call_ids(range(len(trials)))):
            if call in before:
                kept.setdefault(index, key)
    return kept


def _whole_pairs(snapshot: Snapshot, stored: pl.DataFrame, *, kept: Mapping[int, str]) -> dict[int, str]:
    """For each pair the study that was first to have all its arms: close in time, by the same served model."""
    pairs, arms = _pairs(stored["trial"], snapshot)
    rows = stored.with_columns(pairs, arms)
    decided, _ = _pairs(pl.Series(list(kept), dtype=pl.UInt32), snapshot)
    own = rows.filter(pl.col("key") == snapshot.spec.study)["pair"]
    whole = (
        rows.filter(~pl.col("pair").is_in(pl.concat([decided, own]).implode()))
        .group_by("pair", "key")
        .agg(
            pl.col("trial").n_unique().alias("there"),
            pl.col("arms").first(),
            pl.col("stored_at").max().alias("last"),
            (pl.col("stored_at").max() - pl.col("stored_at").min()).alias("apart"),
            pl.col("served_model").n_unique().alias("models"),
        )
        .filter(
            pl.col("there") == pl.col("arms"),
            pl.col("apart") <= snapshot.spec.longest_between_arms,
            pl.col("models") == 1,
        )
        .sort("last", "key")
        .unique("pair", keep="first", maintain_order=True)
    )
    return _by_trial(rows.join(whole.select("pair", "key"), on=("pair", "key")))


def _first_stored(stored: pl.DataFrame, *, kept: Mapping[int, str]) -> dict[int, str]:
    """For each trial the shared reply, where there is one, else the one that was stored first."""
    is_decided = pl.col("trial").is_in(pl.Series(list(kept), dtype=pl.UInt32).implode())
    first = stored.filter(~is_decided).sort(pl.col("key") != SHARED, "stored_at", "key")
    return _by_trial(first.unique("trial", keep="first", maintain_order=True))


def _pairs(trials: pl.Series, snapshot: Snapshot) -> tuple[pl.Series, pl.Series]:
    """`pair`: the index of the first arm of each trial's pair; `arms`: how many the pair has."""
    settings = [factors_id({**cell.factors, "condition": None}) for cell in snapshot.cells]
    first = np.array([settings.index(each) for each in settings])
    count = np.array([settings.count(each) for each in settings])
    # the plan's order is request, repeat, model, cell: the cells of one pair stand together
    places = trials.to_numpy().astype(np.int64)
    cell = snapshot.trials.axes.all_at(places).cell
    return pl.Series("pair", places - cell + first[cell]), pl.Series("arms", count[cell], dtype=pl.UInt32)


def _by_trial(rows: pl.DataFrame) -> dict[int, str]:
    return dict(zip(rows["trial"].to_list(), rows["key"].to_list(), strict=True))
