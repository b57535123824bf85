import subprocess
import sys
from pathlib import Path
from typing import get_args

from core.engines.opening import ENGINES
from core.spec.providers import EngineKind

ROOT = Path(__file__).parents[2]


def test_every_engine_kind_can_be_opened_but_the_one_whose_replies_were_made_elsewhere():
    assert {*ENGINES, "imported"} == set(get_args(EngineKind))


def test_naming_the_engines_imports_none_of_them():
    heavy = "{'openai', 'anthropic', 'vllm', 'torch'}"
    code = f"import sys, core.engines.opening; print(sorted({heavy} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_key_of_an_order_is_not_shown(make_order):
    assert "secret" not in repr(make_order("openai", None))
