"""What a chat template is given beside the turns, and room for adapters; no engine is needed for that."""

from types import SimpleNamespace

import pytest

from core.engines.vllm_place import lora_arguments
from core.engines.vllm_prompt import template_arguments
from core.errors import EngineError, SpecError
from core.spec.adapters import Adapter
from core.spec.model_entry import ModelSpec


def entry(**fields):
    return ModelSpec.model_validate({"name": "m", "engine": "vllm", "model": "org/m@1", **fields})


def template(text):
    return SimpleNamespace(chat_template=text)


def test_a_template_gets_the_reasoning_that_is_asked_for_and_nothing_else():
    knows_both = template("{{ enable_thinking }}{{ reasoning_effort }}")
    assert template_arguments(knows_both, entry()) == {}
    assert template_arguments(knows_both, entry(reasoning={"mode": "disabled"})) == {"enable_thinking": False}
    asked = {"mode": "enabled", "effort": "low"}
    assert template_arguments(knows_both, entry(reasoning=asked)) == {
        "enable_thinking": True, "reasoning_effort": "low",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        (
            "{{ messages }}",
            {"reasoning": {"mode": "enabled"}},
            r"models\[m\]\.reasoning\.mode: .* no enable_thin",
        ),
        (
            "{{ messages }}",
            {"reasoning": {"effort": "low"}},
            r"models\[m\]\.reasoning\.effort: .* no reasoning_ef",
        ),
        (None, {}, r"models\[m\]\.chat_template: the model has none of its own"),
    ],
)
def test_what_a_template_does_not_know_is_refused_and_not_ignored(text, fields, words):
    with pytest.raises(EngineError, match=words):
        template_arguments(template(text), entry(**fields))


def test_a_file_stands_for_the_models_own_template(tmp_path):
    file = tmp_path / "other.jinja"
    file.write_text("{{ messages }}")
    assert template_arguments(template(None), entry(chat_template=str(file))) == {"chat_template": "{{ messages }}"}
    with pytest.raises(SpecError, match="can't be read"):
        template_arguments(template("x"), entry(chat_template=str(tmp_path / "none.jinja")))


def test_there_is_room_for_the_largest_adapter_for_each_and_an_empty_slot():
    made = {f"a{number}": Adapter("a", None, "i", rank, is_pinned=True) for number, rank in enumerate([8, 33] * 6)}
    assert lora_arguments({}) == {}
    assert lora_arguments(made) == {
        "enable_lora": True, "max_lora_rank": 64, "max_loras": 13, "max_cpu_loras": 13,
    }  # fmt: skip
