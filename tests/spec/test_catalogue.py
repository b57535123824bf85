"""The model catalogue: the paper's models as data, what nobody knows as null, and entries that are filled from it."""

import pytest

from core.errors import SpecError
from core.plan.targets import target_digest
from core.spec.catalogue import catalogue, fill_entry, find_model, unavailable
from core.spec.load import load_study
from core.spec.prices import model_facts

PAPER_CHAT = (
    "GPT-4", "GPT-4o", "GPT-4o-mini", "GPT-4.1", "GPT-4.1-mini", "GPT-4.5", "Claude 4 Sonnet", "Claude 4 Opus",
    "Claude 3.7 Sonnet", "Claude 3.6 Sonnet", "Claude 3.5 Sonnet", "Claude 3 Opus", "Gemini 2.5 Flash",
    "Gemini 2.0 Flash", "Grok 3 Beta", "Llama 4 Scout", "Llama 4 Maverick", "Llama 3 70B", "Llama 3 405B",
    "DeepSeek V3 Chat", "DeepSeek R1", "Qwen 2.5 Coder 32B", "Qwen 2.5 72B", "Mixtral 8x22B", "Mistral Large 2",
)  # fmt: skip

STUDY = """
study: s
models:
{models}
requests: {{source: "bundled:harmful", limit: 2}}
"""


@pytest.fixture
def load(tmp_path):
    """A study with these lines of models, and overrides."""

    def run(models, *overrides):
        path = tmp_path / "s.yaml"
        path.write_text(STUDY.format(models=models))
        return load_study(path, overrides=overrides)

    return run


def test_the_25_chat_models_of_the_paper_are_there_in_its_order():
    assert tuple(model.paper for model in catalogue().models if model.group == "chat") == PAPER_CHAT


def test_every_model_makes_a_valid_entry_and_every_successor_is_there():
    ids = [model.id for model in catalogue().models]
    assert len(ids) == len(set(ids))
    for model in catalogue().models:
        assert model.spec.model, model.id
        assert model.successor is None or model.successor in ids, model.id
        assert (model.until is not None) == (model.status in ("retired", "deprecated")), model.id
        assert (model.source is not None) == (model.status in ("retired", "deprecated", "active")), model.id


def test_open_weights_are_read_raw_exactly_where_they_are_base_models():
    for model in catalogue().models:
        assert model.spec.is_raw == (model.group == "base" and model.spec.engine != "anthropic"), model.id


def test_a_price_is_dated_and_what_the_list_does_not_know_is_null():
    row = find_model("claude-3-opus").row()
    assert (row["context_length"], row["price"]["input"]) == (200_000, 15.0)
    assert row["price"]["as_of"] == row["price_source"] == "genai-prices 0.2.3"
    unknown = find_model("grok-3").row()
    assert unknown["context_length"] is None
    never = find_model("claude-3-opus-base").row()
    assert (never["price"], never["context_length"], never["status"]) == (None, None, "never_public")


def test_the_o_series_is_sent_no_temperature_and_its_empty_replies_are_blocked():
    for name in ("o1", "o3-mini", "o3", "o4-mini"):
        spec = find_model(name).spec
        assert spec.generation_temperature(0.0) is None
        assert spec.judge_temperature(1.0) is None
        assert spec.empty_reply == "blocked"
    assert find_model("gemini-2.0-flash").spec.empty_reply == "blocked"


def test_an_id_fills_an_entry_and_the_entry_overrides_it(load):
    spec = load("  - {name: mine, catalogue: o1, sampling: {max_tokens: 9000}, limits: {rpm: 5}}")
    entry = spec.models[0]
    assert (entry.name, entry.model, entry.catalogue, entry.system_role) == ("mine", "o1-2024-12-17", "o1", "developer")
    # a mapping is filled key by key
    assert (entry.sampling.temperature, entry.sampling.max_tokens) == (None, 9000)
    spec = load("  - {catalogue: o1, model: o1-2099-01-01}", "models[0].system_role=user")
    assert (spec.models[0].name, spec.models[0].model, spec.models[0].system_role) == ("o1", "o1-2099-01-01", "user")


def test_a_filled_entry_is_the_same_model_as_the_one_written_out(load):
    short = load("  - {name: a, catalogue: grok-3}").models[0]
    long = load("  - {name: b, engine: openai, provider: openrouter, model: x-ai/grok-3-beta}").models[0]
    assert target_digest(short, behaviour_digest=None) == target_digest(long, behaviour_digest=None)
    assert short.key_variable == "OPENROUTER_API_KEY"
    assert model_facts(short).price.input == 3.0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{name: m, catalogue: claude-3-opuss}", ["models[m].catalogue", "did you mean claude-3-opus"]),
        ("{name: m, catalogue: qqqq}", ["`afgap models` lists"]),
        ("{name: m, catalogue: o1, engine: vllm}", ["models[m].engine", "remove engine"]),
    ],
)
def test_a_wrong_id_names_near_ones(load, entry, words):
    with pytest.raises(SpecError) as caught:
        load(f"  - {entry}")
    assert all(word in str(caught.value) for word in ["s.yaml", *words])


def test_a_stand_in_can_play_a_model_of_the_catalogue(load):
    entry = load("  - {catalogue: gemini-2.0-flash, stand_in: planted}").models[0]
    assert entry.base_url is None
    assert model_facts(entry).price_source == "free"
    assert unavailable(entry) is None


def test_what_is_gone_says_since_when_and_who_says_so():
    def entry(name, **fields):
        return find_model(name).spec.model_copy(update={"catalogue": name, **fields})

    assert unavailable(entry("claude-3-opus")) == "retired on 2026-01-05 (Anthropic's model deprecations)"
    assert unavailable(entry("claude-3-opus-base")) == "never public"
    assert unavailable(entry("gpt-4o")) is None
    assert unavailable(entry("claude-3-opus", model="another")) is None


def test_filling_keeps_what_is_malformed_for_the_schema_to_refuse():
    assert fill_entry({"name": "m", "catalogue": "o1", "sampling": 3}, where="x")["sampling"] == 3
