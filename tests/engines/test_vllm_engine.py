"""The real vLLM engine: adapters on one set of weights, prefills, raw prompts. One engine serves all claims."""

import asyncio
import itertools
import json
from dataclasses import replace

import pytest

from core.engines.bundled_model import prepare_bundled_model
from core.engines.engine import EngineOrder
from core.errors import EngineError
from core.plan.records import Reply
from core.scenario.message import Message
from core.spec.adapters import locate_adapter
from core.spec.model_entry import ModelSpec

MODEL = "bundled:smollm2-135m-instruct"
ARGUMENTS = {"max_model_len": 512, "enforce_eager": True, "max_num_seqs": 4, "gpu_memory_utilization": 0.25}
ASKED = (Message("system", "You are brief."), Message("user", "Name a colour and say why you like it."))
BEGINNING = "My favourite colour is"


def entry(name, **fields):
    return ModelSpec.model_validate(
        {"name": name, "engine": "vllm", "model": MODEL, "engine_args": ARGUMENTS, **fields}
    )


@pytest.fixture
def make_adapter(tmp_path):
    """A LoRA adapter for the bundled model's attention, of random weights; `hidden` is the width it is made for."""

    def make(name, *, hidden, layers, scale):
        import torch
        from safetensors.torch import save_file

        folder = tmp_path / name
        folder.mkdir()
        config = {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0,
            "bias": "none", "target_modules": ["q_proj"], "base_model_name_or_path": "bundled",
        }  # fmt: skip
        (folder / "adapter_config.json").write_text(json.dumps(config))
        drawn = torch.Generator().manual_seed(1)
        tensors = {}
        for layer in range(layers):
            place = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
            tensors[f"{place}.lora_A.weight"] = torch.randn(8, hidden, generator=drawn)
            tensors[f"{place}.lora_B.weight"] = torch.randn(hidden, 8, generator=drawn) * scale
        save_file(tensors, folder / "adapter_model.safetensors")
        return str(folder)

    return make


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch and vLLM warn of their own parts, here in this process
def test_adapters_prefills_and_raw_prompts_share_one_engine(make_adapter, make_call):
    from core.engines.vllm_engine import VllmEngine

    folder = prepare_bundled_model("smollm2-135m-instruct")
    shape = json.loads((folder / "config.json").read_text())
    sound = make_adapter("sound", hidden=shape["hidden_size"], layers=shape["num_hidden_layers"], scale=0.5)
    unfit = make_adapter("unfit", hidden=shape["hidden_size"] + 8, layers=2, scale=0.5)
    plain, tuned = entry("plain"), entry("tuned", adapter=sound)
    raw = entry("raw", chat_template="none", stop=["\n", "."])

    serial = itertools.count()

    async def talk():
        engine = VllmEngine(EngineOrder(plain, (plain, tuned, raw)))
        await engine.start()
        try:

            async def ask(label, messages=ASKED):
                call = make_call(f"{label}-{next(serial)}", messages=messages, temperature=0.0, max_tokens=24)
                reply = await engine.answer(replace(call, model=label), attempt=1)
                assert isinstance(reply, Reply), reply
                return reply

            first = await ask("plain")
            beside, changed = await asyncio.gather(ask("plain"), ask("tuned"))
            with pytest.raises(EngineError, match=r"models\[worse\]\.adapter: vLLM refuses .*unfit"):
                await engine.add_adapter(entry("worse", adapter=unfit), locate_adapter(unfit))
            assert await engine.healthy()
            again = await ask("plain")
            prefilled = await ask("plain", (*ASKED, Message("assistant", BEGINNING)))
            one_line = await ask("raw")
            return first, beside, changed, again, prefilled, one_line
        finally:
            await engine.close()

    first, beside, changed, again, prefilled, one_line = asyncio.run(talk())
    begins = slice(20)  # later words may hang on the last bit of a sum, which depends on what else is in the batch
    assert changed.text[begins] != first.text[begins]  # the adapter answers
    assert beside.text[begins] == first.text[begins]  # and does not leak into those beside it
    assert changed.served_model.endswith(f" + {sound}")
    assert again.text == first.text  # nor does one that was refused leave anything behind
    assert prefilled.text != first.text
    assert not prefilled.text.startswith(BEGINNING)  # the reply goes on from it and does not say it again
    assert prefilled.usage.input > first.usage.input  # the beginning is part of the prompt, not of the reply
    assert "\n" not in one_line.text
