"""The long form of a model entry: what fits together, and what is refused with its reason."""

import json

import pytest
from pydantic import ValidationError

from core.errors import SpecError
from core.plan.targets import engine_digest, model_flags, target_digest, target_of
from core.spec.adapters import locate_adapter, rank_for
from core.spec.model_entry import ModelSpec

OPENAI = {"engine": "openai", "model": "m-2024-01-01"}
ANTHROPIC = {"engine": "anthropic", "model": "c-20240101"}
VLLM = {"engine": "vllm", "model": "org/m@1"}
SCRIPTED = {"engine": "scripted", "model": "planted"}


def entry(kind, **fields):
    return ModelSpec.model_validate({"name": "m", **kind, **fields})


def digest(kind, **fields):
    return target_digest(entry(kind, **fields), behaviour_digest=None)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (OPENAI, {"adapter": "x"}, "adapter belongs to engine vllm"),
        (OPENAI, {"chat_template": "none"}, "chat_template belongs to engine vllm"),
        (VLLM, {"extra_body": {"a": 1}}, "extra_body belongs to an API engine"),
        (VLLM, {"headers": {"A": "b"}}, "headers belongs to an API engine"),
        (SCRIPTED, {"stop": ["x"]}, "stop means nothing where no model is asked"),
        (SCRIPTED, {"sampling": {"top_p": 0.5}}, "mean nothing where no model is asked"),
        (OPENAI, {"provider": "anthropic"}, "reached by engine anthropic"),
        (OPENAI, {"provider": "azure"}, "add base_url"),
        (OPENAI, {"provider": "nobody"}, "add base_url"),
        (OPENAI, {"base_url": "http://h/v1?api-version=1"}, "put what follows ? into query"),
        (OPENAI, {"auth": {"kind": "aws"}}, "does not carry"),
        (ANTHROPIC, {"auth": {"kind": "gcp"}}, "does not carry"),
        (OPENAI, {"auth": {"variable": "A"}, "api_key_env": "B"}, "name the same thing"),
        (OPENAI, {"headers": {"Authorization": "Bearer x"}}, "carries a key"),
        (OPENAI, {"headers": {"X-Other": "sk-abcdefghijkl"}}, "carries a key"),
        (OPENAI, {"query": {"api-key": "x"}}, "carries a key"),
        (OPENAI, {"headers": {"x-client-request-id": "1"}}, "by which repeats are counted"),
        (OPENAI, {"extra_body": {"messages": []}}, "decided by other keys"),
        (OPENAI, {"extra_body": {"stream": True}}, "decided by other keys"),
        (OPENAI, {"extra_body": {"a": ["sk-abcdefghijkl"]}}, "looks like a key"),
        (OPENAI, {"api": "messages"}, "not spoken by engine openai"),
        (ANTHROPIC, {"api": "chat"}, "not spoken by engine anthropic"),
        (OPENAI, {"api": "responses", "prefill": "native"}, "no way to go on"),
        (OPENAI, {"api": "responses", "stop": ["x"]}, "responses API has none"),
        (OPENAI, {"stop": ["<rejected/>"]}, "cut the decision"),
        (OPENAI, {"stop": ["<request_fully_accepted/>"]}, "cut the decision"),
        (ANTHROPIC, {"system_role": "developer"}, "belongs to OpenAI"),
        (OPENAI, {"api": "completions", "system_role": "developer"}, "belongs to OpenAI"),
        (ANTHROPIC, {"sampling": {"presence_penalty": 1}}, "no such parameter"),
        (OPENAI, {"api": "responses", "sampling": {"top_k": 5}}, "no such parameter"),
        (ANTHROPIC, {"sampling": {"limit_name": "max_tokens"}}, "belongs to the chat API"),
        (OPENAI, {"reasoning": {"mode": "enabled"}}, "use reasoning.effort"),
        (VLLM, {"reasoning": {"mode": "adaptive"}}, "belongs to anthropic"),
        (ANTHROPIC, {"reasoning": {"effort": "minimal"}}, "Anthropic knows low"),
        (ANTHROPIC, {"reasoning": {"mode": "enabled"}, "sampling": {"temperature": None}}, "both need it"),
        (OPENAI, {"reasoning": {"budget_tokens": 2048}}, "goes with engine anthropic"),
        (ANTHROPIC, {"reasoning": {"mode": "adaptive"}}, "write temperature: null"),
        (VLLM, {"reasoning": {"scratchpad_source": "hidden"}}, "hides nothing"),
        (VLLM, {"chat_template": "none", "reasoning": {"effort": "low"}}, "raw prompt"),
        (OPENAI, {"turn_markers": {"user": "U: "}}, "belong to raw prompts"),
        (OPENAI, {"api": "completions", "prefill": "none"}, "can always be continued"),
        (OPENAI, {"sampling": {"max_tokens": None}}, "max_tokens"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(kind, fields, words):
    with pytest.raises(ValidationError) as caught:
        entry(kind, **fields)
    assert words in str(caught.value)


def test_a_provider_gives_address_and_key_and_a_study_can_name_its_own():
    assert entry(OPENAI).url == "https://api.openai.com/v1"
    assert entry(OPENAI, provider="openrouter").url == "https://openrouter.ai/api/v1"
    assert entry(OPENAI, provider="openrouter").key_variable == "OPENROUTER_API_KEY"
    azure = {"provider": "azure", "base_url": "https://x.openai.azure.com/openai/deployments/d"}
    assert entry(OPENAI, **azure).key_variable == "AZURE_OPENAI_API_KEY"
    assert entry(OPENAI, auth={"variable": "MINE", "header": "api-key"}).key_variable == "MINE"
    assert entry(SCRIPTED).key_variable == ""


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (OPENAI, {"api": "responses"}),
        (OPENAI, {"provider": "openrouter"}),
        (OPENAI, {"extra_body": {"provider": {"order": ["x"]}}}),
        (OPENAI, {"headers": {"anthropic-beta": "x"}}),
        (OPENAI, {"query": {"api-version": "2024-10-21"}}),
        (OPENAI, {"system_role": "developer"}),
        (OPENAI, {"stop": ["x"]}),
        (OPENAI, {"sampling": {"top_p": 0.5}}),
        (OPENAI, {"reasoning": {"effort": "low"}}),
        (OPENAI, {"reasoning": {"scratchpad_source": "hidden"}}),
        (VLLM, {"chat_template": "none"}),
        (VLLM, {"adapter": "org/lora@1"}),
        (VLLM, {"engine_args": {"dtype": "float16"}}),
    ],
)
def test_what_decides_the_answer_is_part_of_the_target(kind, fields):
    assert digest(kind, **fields) != digest(kind)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (OPENAI, {"headers": {"X-Title": "afgap", "HTTP-Referer": "http://x"}}),
        (OPENAI, {"auth": {"variable": "MINE"}}),
        (OPENAI, {"prefill": "none"}),
        (OPENAI, {"context_length": 5}),
        (OPENAI, {"sampling": {"temperature": None, "max_tokens": 7}}),  # in the call's own sampling
        (OPENAI, {"reasoning": {"scratchpad_source": "think"}}),  # decides how a reply is read
        (VLLM, {"engine_args": {"enable_lora": True, "max_loras": 4, "max_lora_rank": 64}}),
    ],
)
def test_what_does_not_decide_the_answer_is_not(kind, fields):
    assert digest(kind, **fields) == digest(kind)


def test_an_entry_of_the_short_form_keeps_the_target_it_had():
    assert target_of(entry(OPENAI), behaviour_digest=None) == {
        "engine": "openai", "api": "chat", "model": "m-2024-01-01", "base_url": "https://api.openai.com/v1",
    }  # fmt: skip
    assert set(target_of(entry(VLLM), behaviour_digest=None)) == {"engine", "weights", "arguments"}


def test_no_secret_is_part_of_an_entry():
    given = entry(OPENAI, auth={"variable": "MY_KEY", "header": "api-key"})
    assert "MY_KEY" in given.model_dump_json()
    assert "MY_KEY" not in json.dumps(target_of(given, behaviour_digest=None))


def test_adapters_ride_on_one_engine():
    plain, tuned = entry(VLLM), entry(VLLM, adapter="org/lora@1", chat_template="none")
    assert engine_digest(plain) == engine_digest(tuned)
    assert model_flags(entry(VLLM, adapter="org/lora")) == ("unpinned",)
    assert model_flags(entry(VLLM, reasoning={"scratchpad_source": "think"})) == ("scratchpad_think",)


def test_an_adapter_is_told_by_its_files_and_its_rank_by_its_config(tmp_path):
    folder = tmp_path / "lora"
    folder.mkdir()
    with pytest.raises(SpecError, match="holds no adapter"):
        locate_adapter(str(folder))
    (folder / "adapter_config.json").write_text('{"r": 9}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    first = locate_adapter(str(folder))
    assert (first.rank, rank_for([first]), first.is_pinned) == (9, 16, True)
    (folder / "adapter_model.safetensors").write_bytes(b"others!")
    assert locate_adapter(str(folder)).identity != first.identity
    (folder / "adapter_config.json").write_text('{"r": 900}')
    with pytest.raises(SpecError, match="rank 900"):
        rank_for([locate_adapter(str(folder))])
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(SpecError, match="states no rank"):
        locate_adapter(str(folder))
    with pytest.raises(SpecError, match="is no folder"):
        locate_adapter("./nowhere")
