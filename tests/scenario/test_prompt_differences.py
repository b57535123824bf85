"""The differences that replicators call drift of the harness."""

import pytest

from core.scenario.message import Message
from core.scenario.prompt_differences import Difference, PromptSide, prompt_differences

SYSTEM = Message("system", "Be brief.\nThink first.")
TURN = "<is_free_tier_user>true</is_free_tier_user>\n<user_input>\nR\n</user_input>"


def side(turn, *others, name="a", **settings):
    return PromptSide(name, {"two_tier/free": (SYSTEM, Message("user", turn), *others)}, settings)


def kinds(a, b):
    return [each.kind for each in prompt_differences(a, b)]


def test_equal_sides_have_no_difference():
    assert prompt_differences(side(TURN), side(TURN, name="b")) == ()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (TURN.replace("true", "True"), ["tag_value", "case"]),
        (TURN.replace("true", "false"), ["tag_value", "text"]),
        (TURN.replace("\n", "\n\n"), ["space", "tokens"]),
        (f"<INPUT>\n{TURN}\n</INPUT>", ["tags", "suffix", "text", "tokens"]),
        (TURN + "\n\nAnswer or reject, but think of it well.", ["suffix", "tokens"]),
        (TURN.replace("R", "Please"), ["text", "tokens"]),
    ],
)
def test_a_difference_has_the_kind_that_names_it(other, expected):
    assert kinds(side(TURN), side(other)) == expected


def test_letter_case_in_a_tag_is_told_with_both_values():
    [value, case] = prompt_differences(side(TURN), side(TURN.replace("true", "True")))
    assert (value.a, value.b) == ("is_free_tier_user: true", "is_free_tier_user: True")
    assert case.where == "user"
    assert case.cells == ("two_tier/free",)


def test_changed_lines_of_a_text_are_told():
    other = PromptSide("b", {"two_tier/free": (Message("system", "Be brief.\nThink last."), Message("user", TURN))})
    [text] = prompt_differences(side(TURN), other)
    assert text == Difference("text", "system", "Think first.", "Think last.", ("two_tier/free",))


def test_a_prefill_and_a_missing_prompt_are_told():
    more = side(TURN, Message("assistant", "<SCRATCHPAD_REASONING>\nThe user"))
    roles, tokens = prompt_differences(side(TURN), more)
    assert (roles.kind, roles.b, tokens.kind) == ("roles", "system, user, assistant", "tokens")
    [missing] = prompt_differences(side(TURN), PromptSide("b", {}))
    assert (missing.kind, missing.a, missing.b) == ("missing", "there", "")


def test_settings_come_first_and_one_difference_of_many_prompts_is_told_once():
    a, b = ({f"cell{n}": (Message("user", text),) for n in range(3)} for text in ("A word.", "A wort."))
    found = prompt_differences(
        PromptSide("a", a, {"sampling.max_tokens": 512, "stop": None}),
        PromptSide("b", b, {"sampling.max_tokens": 4096, "stop": ["</OUTPUT>"]}),
    )
    assert [(each.kind, each.where, each.a, each.b) for each in found[:2]] == [
        ("setting", "sampling.max_tokens", "512", "4096"), ("setting", "stop", "", "['</OUTPUT>']"),
    ]  # fmt: skip
    assert [each.cells for each in found[2:]] == [("cell0", "cell1", "cell2")]
