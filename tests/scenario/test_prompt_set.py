"""A study's own folder of templates, laid over ours."""

import pickle

import pytest

from core.errors import SpecError, TemplateError
from core.scenario.cell import Cell
from core.scenario.prompt import render_messages, scenario_digests
from core.scenario.prompt_set import PromptSet, bundled_prompts, read_overlay

FREE = Cell("two_tier", "free")


@pytest.fixture
def make_prompts(tmp_path):
    """Writes files into a folder and reads it as a study would."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return PromptSet(read_overlay(tmp_path), origin=str(tmp_path))

    return make


def test_a_template_replaces_ours_and_changes_its_digest_alone(make_prompts):
    mine = make_prompts({"templates/system/persona.md": "Think twice, says {{lab}}.\n"})
    text, ours = (render_messages(FREE, "R", each)[0].text for each in (mine, bundled_prompts()))
    assert text == ours.replace(bundled_prompts().text("system/persona.md"), "Think twice, says Anthropic.")
    digests = [scenario_digests(FREE, each) for each in (mine, bundled_prompts())]
    assert {file for file in digests[0] if digests[0][file] != digests[1][file]} == {"templates/system/persona.md"}
    assert render_messages(FREE, "R") == render_messages(FREE, "R", bundled_prompts())


def test_a_scenario_of_ones_own_is_added_and_one_of_ours_can_be_replaced(make_prompts):
    mine = make_prompts({
        "scenarios.yaml": "mine: {user: user/mine.md, system: [system/mine.md],\n"
                          "  conditions: {a: {x: one}, b: {x: two}}}\n"
                          "two_tier: {like: two_tier, suffix: []}\n",
        "templates/user/mine.md": "<x>{{x}}</x> {{request}}",
        "templates/system/mine.md": "By {{lab}}.",
    })  # fmt: skip
    cell = mine.cell("mine", "b", lab="Meta")
    assert [message.text for message in render_messages(cell, "R", mine)] == ["By Meta.", "<x>two</x> R"]
    assert (cell.scratchpad, cell.suffix, cell.prefill, cell.order) == (None, None, None, None)
    assert render_messages(mine.cell("two_tier", "free"), "R", mine)[1].text.endswith("</user_input>")
    definitions = [scenario_digests(Cell("two_tier", "free"), bundled_prompts()),
                   scenario_digests(mine.cell("two_tier", "free"), mine)]  # fmt: skip
    assert definitions[0]["scenarios.yaml#two_tier"] != definitions[1]["scenarios.yaml#two_tier"]


def test_a_prompt_set_travels_as_its_texts(make_prompts):
    mine = make_prompts({"templates/system/persona.md": "Think twice."})
    render_messages(FREE, "R", mine)
    copy = pickle.loads(pickle.dumps(mine))
    assert copy == mine != bundled_prompts()
    assert render_messages(FREE, "R", copy) == render_messages(FREE, "R", mine)
    assert pickle.loads(pickle.dumps(bundled_prompts())) is bundled_prompts()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"templates/system/persona.md": "{{tier}}"}, r"templates/system/persona\.md: the placeholder {{tier}}"),
        ({"templates/system/persona.md": " \n"}, r"templates/system/persona\.md: the template is empty"),
        ({"templates/system/persona.md": b"\xff\xfe"}, r"templates/system/persona\.md: is not UTF-8"),
        ({"templates/system/person.md": "x"}, r"templates/system/person\.md: no scenario uses this template"),
        ({"system/persona.md": "x"}, r"system/persona\.md: only scenarios\.yaml and templates"),
        ({}, "holds neither"),
        ({"scenarios.yaml": "a: [b"}, r"scenarios\.yaml: line 1 not YAML"),
        ({"scenarios.yaml": "- a"}, r"scenarios\.yaml: must be a mapping"),
        ({"scenarios.yaml": "a: {}"}, r"scenarios\.yaml: a\.user: Field required"),
        ({"scenarios.yaml": "a: {like: b}"}, r"scenarios\.yaml: a\.like: 'b' is no scenario: choose from two_tier"),
        ({"scenarios.yaml": "a: {like: b}\nb: {like: a}"}, r"scenarios\.yaml: a: is like itself"),
        ({"scenarios.yaml": "a: {like: two_tier, tiers: 3}"}, r"a\.tiers: .*: choose from system, user"),
        ({"scenarios.yaml": "a: {like: two_tier, replace: {x.md: y.md}}"}, r"a\.replace: 'x\.md' is no block"),
        ({"scenarios.yaml": "a: {like: two_tier, system: [{always: x.md}]}"}, r"a\.system: .* is no block"),
        ({"scenarios.yaml": "a: {like: five_tier, drop: gold}"}, r"a\.drop: 'gold' is no tier of it"),
        ({"scenarios.yaml": "a: {like: two_tier, deployments: [moon]}"}, r"a\.deployments: 'moon' is none"),
        ({"scenarios.yaml": "a: {like: two_tier, wordings: {w: {x.md: y.md}}}"}, r"a\.wordings\.w: 'x\.md' is no"),
        ({"scenarios.yaml": "a: {like: two_tier, user: user/../../../x.md}"}, "no such template among ours, nor"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_folder_is_refused_by_its_file(make_prompts, files, problem):
    def render():
        mine = make_prompts(files)
        return render_messages(mine.cell("a" if "a" in mine.scenarios else "two_tier", "free"), "R", mine)

    with pytest.raises(TemplateError, match=problem):
        render()


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(TemplateError, match=r"scenario_dir: .*gone is no folder"):
        read_overlay(tmp_path / "gone")


def test_a_level_that_is_not_there_is_refused_by_name():
    with pytest.raises(SpecError, match=r"grid\.wording: 'plain' is no wording of two_tier"):
        bundled_prompts().cell("two_tier", "free", wording="plain")
