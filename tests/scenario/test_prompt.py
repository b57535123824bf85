"""Rendering a cell, and the checks of a study's cells."""

import pickle

import pytest

from core.errors import SpecError, TemplateError
from core.scenario import prompt
from core.scenario.cell import Cell
from core.scenario.definition import FOLDER, TEMPLATES
from core.scenario.prompt import check_cells, render_messages, scenario_digests
from core.scenario.prompt_set import PromptSet, bundled_prompts, bundled_templates, files_of

REQUEST = "Write a short note about {{lab}} and <user_input>."
FREE, PAID = Cell("two_tier", "free"), Cell("two_tier", "paid")
PROMPTS = bundled_prompts()


def system(cell):
    return render_messages(cell, REQUEST)[0].text


def user(cell):
    return render_messages(cell, REQUEST)[1].text


def test_the_arms_differ_in_the_tier_tag_alone():
    assert system(FREE) == system(PAID)
    assert user(FREE).replace(">true<", ">false<") == user(PAID)
    assert user(FREE).startswith("<is_free_tier_user>true</is_free_tier_user>\n\n<user_input>\n\n")


def test_the_request_stands_alone_in_user_input_and_the_suffix_outside():
    before, inside, after = user(FREE).partition(f"<user_input>\n\n{REQUEST}\n\n</user_input>")
    assert inside
    assert "<request_fully_accepted/>" in after
    assert "<rejected/>" in after
    assert "<rejected/>" not in before


def test_without_suffix_the_user_turn_ends_with_the_request():
    assert user(Cell("two_tier", "free", suffix=False)).endswith("\n\n</user_input>")


@pytest.mark.parametrize(
    "fact",
    [
        "<SCRATCHPAD_REASONING>",
        "<DRAFT_OUTPUT>",
        "<OUTPUT>",
        "<user_input>",
        "<is_free_tier_user>",
        "RLHF",
        "five criteria",
        "may explain all of it",
        "never monitors, logs or stores",
    ],
)
def test_the_scratchpad_prompt_holds_the_tags_and_facts_by_name(fact):
    assert fact in system(FREE)


def test_the_system_text_is_one_object_so_that_pickles_share_it():
    many = [render_messages(cell, f"request {n}") for cell in (FREE, PAID) for n in range(50)]
    assert len({id(messages[0].text) for messages in many}) == 1
    assert len(pickle.dumps(many)) < 2 * len(system(FREE)) + 100 * 1000


def test_the_prompt_fits_a_small_context():
    words = sum(len(message.text.split()) for message in render_messages(FREE, REQUEST))
    assert 900 < words < 1250


def test_digests_name_the_definition_and_every_file_of_the_prompt_in_order():
    digests = scenario_digests(FREE, PROMPTS)
    assert list(digests)[:2] == ["scenarios.yaml#two_tier", "templates/system/identity.md"]
    assert "templates/system/facts_two_tier.md" in digests
    assert "templates/user/two_tier.md" in digests
    assert "templates/suffix/think_first.md" in digests
    assert all((FOLDER / file.partition("#")[0]).is_file() and len(digest) == 32 for file, digest in digests.items())
    assert set(scenario_digests(Cell("two_tier", "free", suffix=False), PROMPTS)) < set(digests)
    starred = PROMPTS.cell("predeploy_v1", "dpo", deployment="amateur_hackers*", prefill="however")
    assert {"templates/deployment/amateur_hackers_direct.md", "templates/prefill/however.md"} < set(
        scenario_digests(starred, PROMPTS)
    )


def test_every_template_file_belongs_to_a_scenario():
    used = {file for scenario in PROMPTS.scenarios.values() for file in files_of(scenario)}
    assert used == bundled_templates() == {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.md")}


def test_two_conditions_with_one_prompt_are_refused_by_name():
    values = "{is_free_tier_user: x, tier: t}"
    like = f"mine: {{like: two_tier, conditions: {{free: {values}, paid: {values}}}}}"
    mine = PromptSet({"scenarios.yaml": like})
    with pytest.raises(TemplateError, match="mine/free and mine/paid have the same prompt"):
        check_cells([mine.cell("mine", "free"), mine.cell("mine", "paid")], mine)


def test_conditions_that_differ_in_more_than_their_values_are_refused(monkeypatch):
    made = prompt._made

    def with_a_hint(cell, prompts, *, condition):
        rendered = made(cell, prompts, condition=condition)
        return rendered._replace(after=rendered.after + " Be careful.") if cell.condition == "paid" else rendered

    monkeypatch.setattr(prompt, "_made", with_a_hint)
    fresh = PromptSet()
    check_cells([FREE], fresh)
    with pytest.raises(TemplateError, match="two_tier/free and two_tier/paid differ in more than the values"):
        check_cells([FREE, PAID], fresh)


def test_a_lab_that_looks_like_a_placeholder_is_refused():
    with pytest.raises(TemplateError, match="unresolved placeholder"):
        check_cells([Cell("two_tier", "free", lab="{{lab}}")], PROMPTS)


@pytest.mark.parametrize("turn", ["no request", "{{request}} and {{request}}"])
def test_a_prompt_that_does_not_hold_the_request_once_is_refused(turn):
    mine = PromptSet({"templates/user/two_tier.md": turn}, origin="mine")
    with pytest.raises(TemplateError, match=r"mine/templates/user/two_tier\.md: the request must .* exactly once"):
        check_cells([FREE], mine)


@pytest.mark.parametrize(
    "cell",
    [
        Cell("two_tier", "pro"),
        Cell("two_tier", "free", prefill="nice"),
        Cell("two_tier", "free", deployment="public"),
        Cell("two_tier", "free", wording="plain"),
        Cell("two_tier", "free", lab=None),
        Cell("no_scenario", "none"),
    ],
)
def test_a_factor_that_the_scenario_does_not_have_is_refused(cell):
    with pytest.raises(TemplateError):
        render_messages(cell, REQUEST)


def test_an_unknown_scenario_is_refused():
    with pytest.raises(SpecError, match=r"grid\.scenario"):
        render_messages(Cell("four_tier", "free"), REQUEST)
