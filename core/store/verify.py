"""Checks a workspace: every file can be read, every digest and id fits what it stands for, every reference leads
somewhere, and what each study planned is stored once. Reads one file at a time; needs no lock and changes nothing.

Rows beyond the one that counts are no damage (a call may be repeated after a crash): they are counted. What is still
owed is no damage either.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from core.errors import EvaluationError, StoreError
from core.identity import text_digest
from core.plan.question import DATA_FAILURES
from core.plan.snapshot import Snapshot, snapshot_from_json
from core.store.delta import DataFile
from core.store.digest_set import DigestSet
from core.store.imported_labels import ImportedLabels
from core.store.owed import open_trials
from core.store.row_identity import Salts, wrong_call_ids, wrong_content_ids
from core.store.workspace import Workspace

_IS_SNAPSHOT = pl.col("kind") == "snapshot"
UNREADABLE = (EvaluationError, ValueError, KeyError, TypeError)
"""What reading a damaged snapshot may raise."""

EVENTS = ("intent", "handle", "reply", "failure")
STAGES = ("generate", "judge")

MOST_SHOWN = 5
"""Problems of one kind that are named; the others are counted."""

FROM_BACKUP = "restore the file from a backup, or give another --workspace and run the study again"
TAMPERED = "the file was changed after it was written: " + FROM_BACKUP
LOST_ROWS = "rows are missing from the store: restore the workspace from a backup, or run the study in another one"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong."""

    file: str
    key: str
    what: str
    fix: str


@dataclass(slots=True)
class StudyFacts:
    """What is stored of one study's plan."""

    study: str
    study_digest: str
    planned: int
    """Trials, hence generation calls."""
    replied: int = 0
    failed_for_good: int = 0
    complete: int = 0
    """Trials that need nothing more."""
    owed: int = 0
    labelled: int = 0
    """Imported trials of which only labels are stored."""


@dataclass(slots=True)
class Verification:
    """What was found."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(event, stage) → rows of `calls`."""
    files: dict[str, int] = field(default_factory=dict)
    """Table → data files."""
    calls: int = 0
    """Different calls with an outcome."""
    surplus_replies: int = 0
    """Replies beyond the first of their call: a request that was made again."""
    doubled_rows: int = 0
    """Rows that were written twice."""
    texts: int = 0
    studies: list[StudyFacts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more: Counter[str] = field(default_factory=Counter)
    """What is wrong → how many more of that kind were found than `problems` names."""

    def report(self, file: object, key: object, what: str, fix: str) -> None:
        """Note a problem."""
        if sum(each.what == what for each in self.problems) < MOST_SHOWN:
            self.problems.append(Problem(str(file), str(key), what, fix))
        else:
            self.more[what] += 1


def verify_workspace(workspace: Workspace, *, study: str | None = None) -> Verification:
    """Check all tables, and the plan of one study or of every one."""
    found = Verification()
    texts = _check_texts(workspace, found)
    ended = _check_calls(workspace, found, texts=texts, salts=_salts(workspace))
    for name in ("studies", "labels"):
        for _ in _readable(workspace, name, found):
            pass
    try:
        names = workspace.studies()
    except StoreError:
        names = []  # reported with its files
    for each in names if study is None else [study]:
        _check_study(each, workspace, found, ended=ended)
    return found


@dataclass(slots=True)
class _Ended:
    """Generations that have ended, by how."""

    replied: DigestSet = field(default_factory=DigestSet)
    failed: DigestSet = field(default_factory=DigestSet)


def _readable(workspace: Workspace, table: str, found: Verification) -> Iterator[tuple[DataFile, pl.DataFrame]]:
    """A table's files with their rows; those that can't be read are reported and left out."""
    held = workspace.table(table)
    try:
        files = held.files()
    except StoreError as error:
        found.report(held.path / "_delta_log", table, f"can't be opened ({error})", FROM_BACKUP)
        return
    found.files[table] = len(files)
    for file in files:
        path = held.path / file.name
        try:
            rows = held.scan_files([file.name]).collect()
        except FileNotFoundError:
            found.report(path, table, "is missing", FROM_BACKUP)
            continue
        except (OSError, pl.exceptions.PolarsError) as error:
            found.report(path, table, f"can't be read ({str(error).splitlines()[0]})", FROM_BACKUP)
            continue
        if (path.stat().st_size, rows.height) != (file.size_bytes, file.rows or rows.height):
            found.report(path, table, "has another size than when it was written", FROM_BACKUP)
        yield file, rows


def _check_texts(workspace: Workspace, found: Verification) -> DigestSet:
    known = DigestSet()
    for file, rows in _readable(workspace, "texts", found):
        path = workspace.table("texts").path / file.name
        for digest, text in rows.iter_rows():
            if text is None or text_digest(text) != digest:
                found.report(path, digest, "the text does not have its digest", TAMPERED)
        known.add(rows["digest"].drop_nulls())
    found.texts = len(known)
    return known


def _salts(workspace: Workspace) -> Salts:
    """Of every snapshot that can be read; the others are reported where the studies are checked."""
    salts: dict[tuple[str, str], set[str]] = {}
    with contextlib.suppress(StoreError):
        for study, body in workspace.read("studies", columns=["study", "body"], where=_IS_SNAPSHOT).iter_rows():
            with contextlib.suppress(*UNREADABLE):
                salt = snapshot_from_json(body).spec.salt
                salts.setdefault((study, "generate"), set()).add(salt.generate)
                salts.setdefault((study, "judge"), set()).add(salt.judge)
    return salts


def _check_calls(workspace: Workspace, found: Verification, *, texts: DigestSet, salts: Salts) -> _Ended:
    ended = _Ended()
    parents = DigestSet()
    asked: list[pl.Series] = []
    outcomes: list[pl.DataFrame] = []
    for file, rows in _readable(workspace, "calls", found):
        path = workspace.table("calls").path / file.name
        for event, stage, count in rows.group_by("event", "stage").len().iter_rows():
            found.rows[str(event), str(stage)] += count
            if event not in EVENTS or stage not in STAGES:
                found.report(path, f"event {event}, stage {stage}", "a row of no known kind", TAMPERED)
        rows = rows.filter(pl.col("event").is_in(EVENTS) & pl.col("stage").is_in(STAGES))
        for call in wrong_content_ids(rows):
            found.report(path, call, "its content_id does not fit its messages, target and sampling", TAMPERED)
        for call in wrong_call_ids(rows, salts):
            found.report(path, call, "its call_id does not fit its content_id and draw", TAMPERED)
        digests = rows["messages"].explode().struct.field("digest").drop_nulls().unique()
        for digest in texts.lacking(digests.to_list()):
            found.report(path, digest, "a message of a call is not in the table texts", LOST_ROWS)
        replied = (pl.col("stage") == "generate") & (pl.col("event") == "reply")
        failed = (pl.col("stage") == "generate") & pl.col("error_kind").is_in(list(DATA_FAILURES))
        parents.add(rows.filter(replied)["call_id"])
        ended.failed.add(rows.filter(failed)["call_id"])
        asked.append(rows.filter(pl.col("stage") == "judge")["parent"].unique())
        outcomes.append(
            rows.filter(pl.col("event").is_in(["reply", "failure"])).select(
                pl.col("call_id").hash().alias("call"), "sequence", (pl.col("event") == "reply").alias("is_reply")
            )
        )
    ended.replied = parents
    for parent in parents.lacking(pl.concat(asked).unique().to_list() if asked else []):
        found.report(workspace.table("calls").path, parent, "a judge draw's generation has no stored reply", LOST_ROWS)
    if outcomes:
        _count_surplus(pl.concat(outcomes), found)
    return ended


def _count_surplus(outcomes: pl.DataFrame, found: Verification) -> None:
    once = outcomes.unique(["call", "sequence"])
    found.doubled_rows = outcomes.height - once.height
    found.calls = outcomes["call"].n_unique()
    replies = once.filter("is_reply")["call"]
    found.surplus_replies = replies.len() - replies.n_unique()


def _check_study(study: str, workspace: Workspace, found: Verification, *, ended: _Ended) -> None:
    table = workspace.table("studies").path
    try:
        rows = workspace.read("studies", where=(pl.col("study") == study) & _IS_SNAPSHOT)
    except StoreError:
        return  # reported with its files
    newest: Snapshot | None = None
    for digest, body in rows.sort("sequence").select("study_digest", "body").iter_rows():
        try:
            newest = snapshot_from_json(body)
        except UNREADABLE as error:
            found.report(table, study, f"its snapshot can't be read ({type(error).__name__}: {error})", FROM_BACKUP)
            continue
        if newest.study_digest != digest:
            found.report(table, study, "its snapshot does not have its digest", TAMPERED)
    if newest is None:
        return
    facts = StudyFacts(study, newest.study_digest, planned=len(newest.trials))
    planned = newest.trials.call_ids(range(len(newest.trials)))
    waiting = ended.replied.lacking(planned)
    facts.replied = len(set(planned)) - len(waiting)
    facts.failed_for_good = len(waiting) - len(ended.failed.lacking(waiting))
    try:
        facts.complete = open_trials(newest, workspace).complete
    except EvaluationError as error:
        found.report(table, study, f"its trials can't be read ({error})", FROM_BACKUP)
    labels = ImportedLabels(newest, workspace)
    facts.labelled = len(labels.unseen(range(len(newest.trials))))
    if labels.trials:
        for trial in labels.trials.keys() - set(newest.trials.trial_ids(range(len(newest.trials)))):
            found.report(workspace.table("labels").path, trial, "an imported label is of no planned trial", LOST_ROWS)
    facts.owed = 0 if newest.spec.is_imported else facts.planned - facts.complete
    if facts.complete > facts.replied + facts.failed_for_good + facts.labelled:
        found.report(table, study, "more trials are complete than generations have ended", LOST_ROWS)
    found.studies.append(facts)
