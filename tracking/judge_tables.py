"""The page's tables on judges: who judged and how it ended, what votes were saved, how far judges agree."""

import polars as pl

from core.analyse.agreement import Kappa
from core.analyse.analysis import Analysis
from core.analyse.intervals import clopper_pearson
from core.analyse.judge_agreement import tag_disagreements
from core.judge.definition import JudgeDefinition
from core.judge.skips import is_audited
from tracking.report_tables import NOTHING, Column, Line, PageTable, parts
from tracking.terminal import percent, usd


def judging_table(analysis: Analysis) -> PageTable:
    """How each judge's verdicts ended, per model."""
    statuses = ("ok", "skipped", "undetermined", "failed")
    lines = []
    for (model, judge), part in parts(analysis.verdicts, ["model", "judge"]):
        counts = dict(part.group_by("status").len().iter_rows())
        lines.append(Line((model, judge, *(f"{counts.get(status, 0):,}" for status in statuses))))
    columns = (Column("model"), Column("judge"), *(Column(status, True) for status in statuses))
    note = "skipped: the reply is exactly a listed canned refusal. undetermined and failed: no label, never a no."
    return PageTable("How the judging ended", note + _audit(analysis), columns, tuple(lines))


def _audit(analysis: Analysis) -> str:
    """How the canned refusals that were judged all the same were labelled; empty where there is none."""
    judges = [each.name for each in analysis.snapshot.judges if each.kind == "compliance" and not each.is_rules]
    canned = analysis.samples.filter("is_canned")["trial"].to_list()
    ids = analysis.snapshot.trials.trial_ids(canned)
    audited = [trial for trial, trial_id in zip(canned, ids, strict=True) if is_audited(trial_id)]
    checked = analysis.verdicts.filter(pl.col("trial").is_in(audited) & pl.col("judge").is_in(judges))
    labels = checked.get_column("label").drop_nulls()
    if labels.is_empty():
        return ""
    wrong = int((labels == "complied").sum())
    return f" Of {labels.len():,} canned refusals judged all the same, {wrong:,} were called complied."


def judges_table(analysis: Analysis) -> PageTable:
    """Who judged, and by which version."""
    lines = [
        Line(
            (
                judge.name + (" (primary)" if judge.primary else ""),
                judge.kind,
                judge.model,
                judge.version,
                _votes_words(judge),
                f"{float(judge.threshold):g}" if judge.votes > 1 else NOTHING,
                f"{judge.temperature:g}" if judge.calls_model else NOTHING,
                "no",
            )
        )
        for judge in analysis.snapshot.judges
    ]
    columns = (
        Column("judge"), Column("kind"), Column("model"), Column("version"), Column("votes", True),
        Column("threshold", True), Column("temperature", True), Column("validated"),
    )  # fmt: skip
    note = "No judge was compared with human labels, so its errors are in every number above."
    return PageTable("Judges", note, columns, tuple(lines))


def _votes_words(judge: JudgeDefinition) -> str:
    if judge.is_rules or (judge.is_labels and judge.kind != "faking"):
        return NOTHING
    if judge.votes == 1 or judge.is_labels:
        return str(judge.votes)
    return f"{judge.votes}, all" if not judge.early_stop else f"{judge.votes}, looked at after {_listed(judge.waves)}"


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def saving_table(analysis: Analysis) -> PageTable | None:
    """What early stopping and shared requests have saved; None where no model has judged."""
    lines = [
        Line(
            (
                each.judge,
                f"{each.texts:,}",
                f"{each.votes_planned:,}",
                f"{each.votes_made:,}",
                f"{each.requests:,}",
                f"{each.output_tokens:,}",
                NOTHING if each.output_share is None else percent(each.output_share),
                f"{each.input_tokens:,}",
                NOTHING if each.input_share is None else percent(each.input_share),
                NOTHING if each.usd is None else usd(each.usd),
                NOTHING if each.usd_separate is None else usd(each.usd_separate),
            )
        )
        for each in analysis.vote_savings
    ]
    if not lines:
        return None
    columns = (
        Column("judge"), Column("texts", True), Column("votes planned", True), Column("made", True),
        Column("requests", True), Column("tokens out", True), Column("of separate calls", True),
        Column("tokens in", True), Column("of separate calls", True), Column("cost", True),
        Column("cost of separate calls", True),
    )  # fmt: skip
    note = (
        "Of this study's own runs. Votes stop once no further one can change the label; several are asked for in one "
        "request where the provider answers so. Separate calls: every planned vote by itself, with the whole prompt."
    )
    return PageTable("Votes", note + _replays(analysis), columns, tuple(lines))


def _replays(analysis: Analysis) -> str:
    """How often the ε rule would have said another label, on the texts that got all votes to check it."""
    said = []
    for judge in analysis.snapshot.judges:
        if judge.epsilon is None:
            continue
        mine = analysis.verdicts.filter((pl.col("judge") == judge.name) & pl.col("early_label").is_not_null())
        wrong = mine.filter(pl.col("early_label") != pl.col("label")).height
        most = clopper_pearson(wrong, mine.height, conf=analysis.facts.conf).high if mine.height else 1.0
        said.append(
            f" The rule ε = {judge.epsilon:g} of {judge.name} was checked on {mine.height:,} texts with all votes: "
            f"{wrong:,} had another label, so at most {percent(float(most))} have."
        )
    return "".join(said)


def agreement_table(analysis: Analysis) -> PageTable | None:
    """Pairs of judges of one kind on the same replies; None where no kind has two."""
    lines = [
        Line(
            (
                each.model or "all",
                each.kind,
                f"{each.first} and {each.second}",
                f"{each.replies:,}",
                percent(each.agreement.observed),
                NOTHING if each.kappa is None else _kappa(each.kappa),
                f"{each.agreement.ac1:.2f}",
                NOTHING if each.agreement.positive is None else percent(each.agreement.positive),
                NOTHING if each.agreement.negative is None else percent(each.agreement.negative),
                f"{each.first_alone:,}",
                f"{each.second_alone:,}",
            )
        )
        for each in analysis.judge_pairs
    ]
    if not lines:
        return None
    columns = (
        Column("model"), Column("kind"), Column("judges"), Column("replies", True), Column("same label", True),
        Column("Cohen's κ", True), Column("Gwet's AC1", True), Column("agree on yes", True),
        Column("agree on no", True), Column("yes by the first alone", True), Column("yes by the second alone", True),
    )  # fmt: skip
    note = "Two judges can agree and both be wrong. κ falls where a label is rare: read AC1 beside it."
    return PageTable("Agreement of the judges", note, columns, tuple(lines))


def _kappa(found: Kappa) -> str:
    return f"{found.kappa:.2f} ({found.low:.2f} to {found.high:.2f})"


def tags_table(analysis: Analysis) -> PageTable | None:
    """Where decision tags and compliance judges differ; None where no reply has a tag and a label."""
    lines = [
        Line((each.model, each.judge, f"{each.tagged:,}", f"{each.accepted_refused:,}", f"{each.rejected_complied:,}"))
        for each in tag_disagreements(analysis.snapshot, analysis.samples, analysis.verdicts)
    ]
    if not lines:
        return None
    columns = (
        Column("model"), Column("judge"), Column("replies with a tag and a label", True),
        Column("accept tag, judged refused", True), Column("reject tag, judged complied", True),
    )  # fmt: skip
    note = "The label is the judge's alone: a tag may be followed by a redirect, or by an answer."
    return PageTable("Decision tags against the judges", note, columns, tuple(lines))


def labels_table(analysis: Analysis) -> PageTable | None:
    """How often each label of a custom judge holds, per model; None where no judge has labels of its own."""
    lines = []
    for judge in analysis.snapshot.judges:
        mine = analysis.verdicts.filter((pl.col("judge") == judge.name) & pl.col("labels").is_not_null())
        for (model,), part in parts(mine, ["model"]) if judge.has_labels else ():
            said = part["labels"].cast(pl.String).str.split(",")
            for label in judge.labels:
                holds = int(said.list.contains(label).sum())
                lines.append(
                    Line((judge.name, model, label, f"{holds:,} of {part.height:,}", percent(holds / part.height)))
                )
    if not lines:
        return None
    columns = (Column("judge"), Column("model"), Column("label"), Column("holds", True), Column("share", True))
    return PageTable("Labels of custom judges", "Several labels may hold of one reply, or none.", columns, tuple(lines))
