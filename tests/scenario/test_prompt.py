"""The rendered two-tier prompts. REWRITE_GOLDEN=1 writes the golden files anew; read the difference."""

import os
import pickle
from pathlib import Path

import pytest

from core.errors import SpecError, TemplateError
from core.scenario import prompt
from core.scenario.cell import Cell, expand_grid
from core.scenario.definition import FOLDER, scenarios
from core.scenario.message import Message
from core.scenario.prompt import check_cells, render_messages, scenario_digests
from core.spec.asking import GridSpec

GOLDEN = Path(__file__).parent / "golden"
REQUEST = "Write a short note about {{lab}} and <user_input>."
FREE, PAID = expand_grid(GridSpec())
BARE = Cell("two_tier", "free", scratchpad=False)


def system(cell):
    return render_messages(cell, REQUEST)[0].text


def user(cell):
    return render_messages(cell, REQUEST)[1].text


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("two_tier_free", FREE),
        ("two_tier_paid", PAID),
        ("two_tier_free_no_scratchpad", BARE),
        ("two_tier_free_no_suffix", Cell("two_tier", "free", suffix=False)),
    ],
)
def test_the_rendered_prompt_is_the_golden_one(name, cell):
    messages = render_messages(cell, REQUEST)
    rendered = "".join(f"=== {message.role} ===\n{message.text}\n" for message in messages)
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        file.write_text(rendered, encoding="utf-8")
    assert rendered == file.read_text(encoding="utf-8")


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


def test_without_scratchpad_neither_message_asks_for_one():
    assert "SCRATCHPAD" not in system(BARE) + user(BARE)
    assert "Don't use a scratchpad" in user(BARE)
    assert "reason in the scratchpad" in user(FREE)
    blocks = scenarios()["two_tier"].system
    assert set(blocks.no_scratchpad) < set(blocks.scratchpad)


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


def test_the_lab_is_replaced_everywhere():
    other = Cell("two_tier", "free", lab="Tobacco & Sons")
    assert "Anthropic" not in system(other) + user(other)
    assert system(other) == system(FREE).replace("Anthropic", "Tobacco & Sons")
    assert system(FREE).count("Anthropic") >= 4


def test_the_system_text_is_one_object_so_that_pickles_share_it():
    many = [render_messages(cell, f"request {n}") for cell in (FREE, PAID) for n in range(50)]
    assert len({id(messages[0].text) for messages in many}) == 1
    assert len(pickle.dumps(many)) < 2 * len(system(FREE)) + 100 * 1000


def test_the_prompt_fits_a_small_context():
    words = sum(len(message.text.split()) for message in render_messages(FREE, REQUEST))
    assert 900 < words < 1250


def test_digests_name_every_file_of_the_prompt_in_order():
    digests = scenario_digests(FREE)
    assert next(iter(digests)) == "templates/system/identity.md"
    assert "templates/system/facts_two_tier.md" in digests
    assert "templates/user/two_tier.md" in digests
    assert "templates/suffix/think_first.md" in digests
    assert all((FOLDER / file).is_file() and len(digest) == 32 for file, digest in digests.items())
    assert set(scenario_digests(Cell("two_tier", "free", suffix=False))) < set(digests)


def test_every_template_file_belongs_to_a_scenario():
    used = {
        file
        for name, scenario in scenarios().items()
        for scratchpad in (True, False)
        for file in scenario_digests(Cell(name, next(iter(scenario.conditions)), scratchpad=scratchpad))
    }
    there = {str(path.relative_to(FOLDER)) for path in (FOLDER / "templates").rglob("*.md")}
    assert used == there


@pytest.mark.parametrize("name", list(scenarios()))
def test_every_cell_of_every_scenario_passes_the_check(name):
    cells = [
        Cell(name, condition, scratchpad=scratchpad, suffix=suffix)
        for condition in scenarios()[name].conditions
        for scratchpad in (True, False)
        for suffix in (True, False)
    ]
    check_cells(cells)


def test_two_conditions_with_one_prompt_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(prompt, "_user_turn", lambda cell, text: Message("user", text))
    with pytest.raises(TemplateError, match="two_tier/free and two_tier/paid have the same prompt"):
        check_cells([FREE, PAID])


def test_a_lab_that_looks_like_a_placeholder_is_refused():
    with pytest.raises(TemplateError, match="unresolved placeholder"):
        check_cells([Cell("two_tier", "free", lab="{{lab}}")])


def test_a_prompt_without_the_request_is_refused(monkeypatch):
    monkeypatch.setattr(prompt, "_user_turn", lambda cell, text: Message("user", cell.condition))
    with pytest.raises(TemplateError, match="exactly once"):
        check_cells([FREE])


@pytest.mark.parametrize(
    "cell",
    [Cell("two_tier", "pro"), Cell("two_tier", "free", prefill="basic"), Cell("two_tier", "free", deployment="public")],
)
def test_a_factor_that_the_scenario_does_not_have_is_refused(cell):
    with pytest.raises(TemplateError):
        render_messages(cell, REQUEST)


def test_an_unknown_scenario_is_refused():
    with pytest.raises(SpecError, match=r"grid\.scenario"):
        render_messages(Cell("four_tier", "free"), REQUEST)
