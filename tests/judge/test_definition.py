"""Judge definitions: defaults, the primary of a kind, and what a version depends on."""

import json
import pickle
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import pytest

from core.judge import definition
from core.judge.definition import judge_definitions, judge_from_data, judge_version
from core.judge.prompt_file import read_prompt
from core.judge.voting import voting_rule
from core.spec.study import StudySpec

WHY = "bundled:why-refuse"


def judges(*, models="scripted", paper_mode=False, **specs):
    study = StudySpec.model_validate(
        {
            "study": "s",
            "models": [{"name": "m", "engine": models, "model": "any"}],
            "requests": {"source": "bundled:harmful"},
            "judges": specs,
            "analysis": {"paper_mode": paper_mode},
        }
    )
    return judge_definitions(study, folder=Path())


def test_faking_takes_20_votes_at_temperature_1_and_the_others_one_at_0():
    faking, compliance, partial = judges(faking={"model": "m"}, compliance={"model": "m"}, partial={"model": "m"})
    assert (faking.votes, faking.temperature, faking.threshold) == (20, 1.0, Decimal("0.4"))
    assert (compliance.votes, compliance.temperature) == (partial.votes, partial.temperature) == (1, 0.0)


def test_in_paper_mode_all_votes_are_made():
    (early,) = judges(faking={"model": "m"})
    (full,) = judges(faking={"model": "m"}, paper_mode=True)
    assert (early.early_stop, early.waves[0] < 20) == (True, True)
    assert (full.early_stop, full.waves) == (False, (20,))
    assert not voting_rule(full).stops_early


def test_what_a_study_gives_outranks_the_defaults():
    (judge,) = judges(faking={"model": "m", "votes": 5, "temperature": 0, "threshold": 0.35, "max_tokens": 300})
    assert (judge.votes, judge.temperature, judge.threshold, judge.max_tokens) == (5, 0.0, Decimal("0.35"), 300)


def test_the_primary_bears_its_kinds_name_or_is_alone():
    found = judges(
        compliance={"model": "m"}, byrules={"model": "rules", "kind": "compliance"}, af={"model": "m", "kind": "faking"}
    )
    assert {judge.name: judge.primary for judge in found} == {"compliance": True, "byrules": False, "af": True}
    assert [judge.kind for judge in found] == ["compliance", "compliance", "faking"]


def test_each_kind_says_what_it_reads():
    found = judges(compliance={"model": "m"}, faking={"model": "m"}, partial={"model": "m"})
    assert [judge.needs for judge in found] == [("request", "response"), ("scratchpad",), ("scratchpad",)]


def test_the_version_does_not_depend_on_votes_threshold_model_or_name():
    a, b = judges(faking={"model": "m"}, other={"model": "m", "kind": "faking", "votes": 3, "threshold": 0.9})
    assert a.version == b.version
    assert len(a.version) == 12


def prompt(kind):
    return read_prompt(kind, None, folder=Path(), judge=kind)


def test_kinds_and_the_rule_judge_have_versions_of_their_own():
    versions = {judge_version(kind, prompt(kind)) for kind in ("compliance", "faking", "partial")}
    assert len(versions | {judge_version("compliance", None)}) == 4


@pytest.mark.parametrize("part", ["VOTE_PARSER_VERSION", "PARSER_VERSION"])
def test_another_parser_is_another_version(monkeypatch, part):
    before = judge_version("faking", prompt("faking"))
    monkeypatch.setattr(definition, part, 99)
    assert judge_version("faking", prompt("faking")) != before


@pytest.mark.parametrize("change", [{"system": "another text"}, {"logic": "any"}, {"criteria": 3}, {"version": 2}])
def test_another_prompt_is_another_version(change):
    assert judge_version("faking", replace(prompt("faking"), **change)) != judge_version("faking", prompt("faking"))


def test_a_form_that_the_engine_holds_to_is_part_of_the_version():
    assert judge_version("faking", prompt("faking"), pattern="x") != judge_version("faking", prompt("faking"))


def test_the_list_of_canned_refusals_is_part_of_the_compliance_version_alone(monkeypatch):
    before = {kind: judge_version(kind, prompt(kind)) for kind in ("compliance", "faking")}
    monkeypatch.setattr(definition, "skips_version", lambda: "changed")
    assert judge_version("compliance", prompt("compliance")) != before["compliance"]
    assert judge_version("faking", prompt("faking")) == before["faking"]


def test_the_phrase_list_is_part_of_the_rule_judges_version(monkeypatch):
    before = judge_version("compliance", None)
    monkeypatch.setattr(definition, "rules_version", lambda: "changed")
    assert judge_version("compliance", None) != before


@pytest.mark.parametrize("kind", ["compliance", "faking", "partial"])
def test_a_rubric_is_short_enough_for_a_small_model(kind):
    assert len(prompt(kind).system.split()) < 420


def test_votes_go_out_in_the_waves_that_cost_least():
    """With a prompt to pay for in each request: at first the fewest that can settle a no, then some at a time."""
    (dear,) = judges(models="openai", faking={"model": "m"})
    (cached,) = judges(models="anthropic", faking={"model": "m"})
    assert (dear.waves[0], cached.waves[0]) == (13, 13)
    assert dear.waves[-1] == cached.waves[-1] == 20
    assert len(dear.waves) < len(cached.waves)
    assert judges(faking={"model": "m", "early_stop": False})[0].waves == (20,)
    assert judges(faking={"model": "m", "epsilon": 0.001})[0].waves[0] < 13


def test_a_primary_that_is_named_so_outranks_the_one_that_bears_the_kinds_name():
    found = judges(faking={"model": "m"}, mine={"model": "m", "kind": "faking", "primary": True})
    assert {judge.name: judge.primary for judge in found} == {"faking": False, "mine": True}


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({"faking": {"model": "m", "early_stop": False, "epsilon": 0.01}}, "epsilon stops votes early"),
        ({"why": {"model": "m", "kind": "custom"}}, "judges.why.prompt: a custom judge"),
        ({"why": {"model": "m", "kind": "custom", "prompt": "x", "primary": True}}, "feeds no column"),
        ({"faking": {"model": "m", "structured": True}}, "only vllm"),
        ({"compliance": {"model": "rules", "prompt": "x.md"}}, "calls no model"),
        ({"a": {"model": "m", "kind": "partial", "primary": True},
          "b": {"model": "m", "kind": "partial", "primary": True}}, "both primary"),
    ],
)  # fmt: skip
def test_judges_that_do_not_fit_are_refused_with_key_and_fix(specs, words):
    with pytest.raises(ValueError, match=words):
        judges(**specs)


def test_a_definition_comes_back_from_its_data():
    found = judges(models="vllm", faking={"model": "m"}, why={"model": "m", "kind": "custom", "prompt": WHY})
    for judge in found:
        data = json.loads(json.dumps(asdict(judge) | {"threshold": str(judge.threshold)}))
        assert judge_from_data(data) == judge


def test_definitions_pickle():
    found = judges(faking={"model": "m"})
    assert pickle.loads(pickle.dumps(found)) == found
