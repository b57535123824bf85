"""Which transcripts a page shows."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from core.analyse.analysis import Analysis
from core.plan.records import Call, Outcome, Reply
from tracking.transcripts import MOST_CHARACTERS, select_transcripts, selection_rule, transcripts

MakeAnalysis = Callable[..., Analysis]


def test_all_are_shown_where_they_fit(analysis: Analysis) -> None:
    assert len(transcripts(analysis)) == analysis.samples.height
    assert selection_rule(analysis.samples) == "All 48 transcripts."


def test_every_group_is_there_before_any_gives_a_second_one(analysis: Analysis) -> None:
    groups = analysis.samples.select("model", "cell_id", "outcome").unique().height
    chosen = select_transcripts(analysis, most=groups)
    rows = analysis.samples.filter(pl.col("trial").is_in(chosen))
    assert rows.select("model", "cell_id", "outcome").unique().height == len(chosen) == groups


def test_the_choice_does_not_depend_on_the_order_of_the_samples(analysis: Analysis) -> None:
    shuffled = analysis.samples.sample(fraction=1.0, shuffle=True, seed=3)
    assert select_transcripts(analysis, most=20) == select_transcripts(replace(analysis, samples=shuffled), most=20)


def test_a_selection_prints_its_rule(analysis: Analysis) -> None:
    rule = selection_rule(analysis.samples, most=20)
    assert rule.startswith("20 of 48 transcripts")
    assert "over-represented" in rule


def test_the_two_conditions_of_a_request_stand_together(analysis: Analysis) -> None:
    shown = transcripts(analysis)
    assert [(each.request_id, each.model, each.cell) for each in shown[:4]] == [
        (shown[0].request_id, "toy", "free"),
        (shown[0].request_id, "toy", "paid"),
        (shown[0].request_id, "other", "free"),
        (shown[0].request_id, "other", "paid"),
    ]


def test_each_judge_shows_its_votes_with_their_text(analysis: Analysis) -> None:
    faking = next(judge for judge in transcripts(analysis)[0].judges if judge.judge == "faking")
    assert len(faking.votes) == faking.votes_valid > 1  # none is drawn once the label is settled
    assert all(vote.raw is not None and "<final_answer>" in vote.raw.shown for vote in faking.votes)


def test_an_endless_reply_is_cut_and_says_so(make_analysis: MakeAnalysis) -> None:
    def endless(call: Call, outcome: Outcome) -> Outcome:
        if call.stage == "judge" or not isinstance(outcome, Reply):
            return outcome
        return replace(outcome, text="a" * (MOST_CHARACTERS + 7))

    output = transcripts(make_analysis(name="endless", limit=1, change=endless))[0].output
    assert output is not None
    assert (len(output.shown), output.characters_cut) == (MOST_CHARACTERS, 7)
