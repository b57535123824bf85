"""An analysis of what is stored is that of the same outcomes in memory, with the cache and without it."""

import shutil
from pathlib import Path

import polars as pl

from core.analyse.analysis import COMPUTED_TABLES, analyse, analyse_workspace
from core.analyse.samples import SAMPLES_SCHEMA, VERDICTS_SCHEMA, VOTES_SCHEMA
from core.plan.next_calls import trial_state
from core.plan.records import Outcome
from core.plan.snapshot import Snapshot
from core.schedule.budget import FREE
from core.store.workspace import Workspace

StoredStudy = tuple[Snapshot, Workspace, dict[str, Outcome]]

PRICES = {"toy": FREE}


def exported(study: StoredStudy, folder: Path) -> dict[str, pl.DataFrame]:
    folder.mkdir()
    rows = analyse_workspace(study[0], study[1], prices=PRICES).write_tables(folder)
    tables = {path.stem: pl.read_parquet(path) for path in sorted(folder.iterdir())}
    assert {name: table.height for name, table in tables.items()} == rows
    return tables


def test_deleting_the_cache_changes_no_exported_table(stored_study: StoredStudy, tmp_path: Path) -> None:
    fresh, cached = exported(stored_study, tmp_path / "a"), exported(stored_study, tmp_path / "b")
    shutil.rmtree(stored_study[1].cache)
    again = exported(stored_study, tmp_path / "c")
    assert set(fresh) == {*COMPUTED_TABLES, "samples", "spend", "verdicts", "votes"}
    for name, table in fresh.items():
        assert table.equals(cached[name]), name
        assert table.equals(again[name]), name


def test_what_is_stored_gives_the_tables_of_the_outcomes_in_memory(stored_study: StoredStudy, tmp_path: Path) -> None:
    snapshot, workspace, outcomes = stored_study
    memory = analyse(snapshot, outcomes, workspace.call_facts("tiny"), prices=PRICES)
    stored = analyse_workspace(snapshot, workspace, prices=PRICES)
    for name in (*COMPUTED_TABLES, "spend"):
        assert getattr(stored, name).equals(getattr(memory, name)), name
    (tmp_path / "memory").mkdir()
    memory.write_tables(tmp_path / "memory")
    tables = exported(stored_study, tmp_path / "stored")
    for name, schema in {"samples": SAMPLES_SCHEMA, "votes": VOTES_SCHEMA, "verdicts": VERDICTS_SCHEMA}.items():
        assert tables[name].schema == pl.Schema(schema)
        assert tables[name].equals(pl.read_parquet(tmp_path / "memory" / f"{name}.parquet")), name


def test_every_row_is_what_the_trials_state_says(stored_study: StoredStudy, tmp_path: Path) -> None:
    snapshot, _, outcomes = stored_study
    tables = exported(stored_study, tmp_path / "tables")
    samples = {row["trial_id"]: row for row in tables["samples"].iter_rows(named=True)}
    verdicts = {(row["trial_id"], row["judge"]): row for row in tables["verdicts"].iter_rows(named=True)}
    votes = {(row["trial_id"], row["judge"], row["draw"]): row for row in tables["votes"].iter_rows(named=True)}
    begun = [trial for trial in snapshot.trials if trial.call_id in outcomes]
    assert len(samples) == len(begun) < len(snapshot.trials)
    for trial in begun:
        state, row = trial_state(snapshot, trial, outcomes), samples.pop(trial.trial_id)
        assert state.parsed is not None
        assert (row["model"], row["cell_id"], row["request_id"], row["repeat"], row["call_id"]) == (
            trial.model, trial.cell_id, trial.request_id, trial.repeat, trial.call_id,
        )  # fmt: skip
        assert (row["status"], row["defects"]) == (state.parsed.status, list(state.parsed.defects))
        assert (row["scratchpad_text"], row["output_text"]) == (state.parsed.scratchpad, state.parsed.visible or None)
        assert row["request_text"] == snapshot.request_by_id[trial.request_id].text
        assert row["raw_text"] == getattr(state.generation, "text", None)
        assert "partial" in row["flags"]
        for name, verdict in state.verdicts.items():
            told = verdicts.pop((trial.trial_id, name))
            assert (told["status"], told["label"], told["score"], told["votes_yes"], told["votes_valid"]) == (
                verdict.status, verdict.label, verdict.score, verdict.votes_yes, verdict.votes_valid,
            )  # fmt: skip
        for name, draws in state.draws.items():
            for draw in draws:
                told = votes.pop((trial.trial_id, name, draw.draw))
                assert (told["status"], told["label"], told["call_id"]) == (
                    draw.vote.status, draw.vote.label, draw.call_id,
                )  # fmt: skip
                assert told["raw_text"] == (draw.reply.text if draw.reply else None)
    assert (samples, verdicts, votes) == ({}, {}, {})


def test_an_export_leaves_no_part_behind(stored_study: StoredStudy, tmp_path: Path) -> None:
    exported(stored_study, tmp_path / "tables")
    assert {path.suffix for path in (tmp_path / "tables").iterdir()} == {".parquet"}
