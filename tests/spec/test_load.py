"""A study file that is wrong gives one message with file, key and fix."""

from pathlib import Path

import pytest
import yaml

from core.errors import SpecError
from core.spec.load import load_study, parse_study

GOOD = """
study: tiny
models: [{name: toy, engine: scripted, model: planted}]
requests: {source: "bundled:harmful", limit: 3}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        load_study(write(folder, text), overrides=overrides)
    return str(raised.value)


def test_the_short_form_fills_its_defaults(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, GOOD))
    assert study.grid[0].scenario == ("two_tier",)
    assert study.grid[0].condition is None
    assert study.sampling.temperature == 0.0
    assert study.judges["compliance"].model == "rules"
    assert study.analysis.alpha == 0.05


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "fo: 1\n", ["fo", "unknown key"]),
        (GOOD + "sampling: {max_token: 5}\n", ["sampling.max_token", "did you mean 'max_tokens'"]),
        (GOOD + "sampling: {max_tokens: many}\n", ["sampling.max_tokens", "integer", "'many'"]),
        (GOOD + "grid: {labs: [OpenAI]}\n", ["grid.labs", "did you mean 'lab'"]),
        (GOOD + "grid: {scratchpad: [maybe]}\n", ["grid.scratchpad[0]", "valid boolean", "'maybe'"]),
        (GOOD + "grid: [{}, {lab: ['<lab>']}]\n", ["grid[1].lab[0]", "'<lab>'"]),
        (GOOD + "grid: {design: {factors: {tier: [a, b]}}}\n", ["grid.design.factors", "'tier' is no factor"]),
        (GOOD + "grid: {design: {factors: {condition: [free, paid]}}}\n", ["grid.design.factors", "always run"]),
        (GOOD + "grid: {lab: A, design: {factors: {lab: [A, B]}}}\n", ["grid", "lab is given beside design"]),
        (GOOD + "grid: {design: {factors: {scope: [public, b]}}}\n", ["grid.design.factors", "scope alone"]),
        (GOOD + "grid: {design: {factors: {order: [a, b]}, resolution: III}}\n", ["grid.design.resolution", "'V'"]),
        (GOOD + "arms: x\n", ["arms", "not available in this version"]),
        (GOOD.replace("planted", "planted, limits: {rpm: 3}"), ["models[toy]", "limits.rpm belongs to an API engine"]),
        (GOOD.replace("name: toy, ", ""), ["models[0].name", "required"]),
        (GOOD.replace("engine: scripted", "engine: magic"), ["models[toy].engine", "'vllm'", "'magic'"]),
        (GOOD.replace("limit: 3", "limit: 0"), ["requests.limit", "greater than or equal to 1"]),
        (GOOD.replace("[{", "[{name: toy, engine: scripted, model: planted}, {"), ["'toy'", "2 times"]),
        (GOOD + "judges: {mood: {model: toy}}\n", ["judges.mood", "kind: compliance, faking, partial or custom"]),
        (GOOD + "judges: {compliance: {model: nobody}}\n", ["judges.compliance.model", "'nobody'", "toy"]),
        (GOOD + "judges: {faking: {model: labels}}\n", ["judges.faking.model", "an imported study"]),
        (
            GOOD + "judges: {faking: {model: toy, epsilon: 0.01}}\nanalysis: {paper_mode: true}\n",
            ["judges.faking.epsilon", "analysis.paper_mode"],
        ),
        (
            GOOD + "judges: {why: {kind: custom, model: toy, prompt: 'bundled:why-refuse'}}\n"
            "analysis: {judge_correction: {why: {true_positive: 9, false_negative: 1, false_positive: 1, "
            "true_negative: 9}}}\n",
            ["analysis.judge_correction.why", "no rate"],
        ),
        (GOOD.replace("scripted", "imported") + "judges: {faking: {model: toy}}\n", ["'toy' is imported", "'labels'"]),
        (
            GOOD.replace("scripted", "imported") + "judges: {faking: {model: labels, prompt: a.md}}\n",
            ["judges.faking.prompt", "call no model"],
        ),
        (
            GOOD.replace("scripted", "imported") + "judges: {a: {kind: custom, model: labels}}\n",
            ["judges.a.model", "custom"],
        ),
        (GOOD + "judges: {faking: {model: rules}}\n", ["judges.faking.model", "compliance only"]),
        (GOOD + "judges: {partial: {model: toy, votes: 3}}\n", ["judges.partial.votes", "answers once"]),
        (GOOD + "judges: {a: {model: toy, kind: partial}, b: {model: toy, kind: partial}}\n", ["'partial'", "primary"]),
        (GOOD.replace("model: planted", "model: planted, role: judge"), ["role judge", "at least one"]),
        (GOOD.replace("model: planted", "model: planted, engine_args: {a: 1}"), ["engine_args", "engine vllm"]),
        (GOOD.replace("model: planted", "model: planted, stand_in: equal"), ["stand_in", "API engine"]),
        (GOOD.replace("scripted", "openai, base_url: 'http://u:p@host/v1'"), ["base_url", "no user or password"]),
        ("", ["the file is empty"]),
        ("- a\n- b\n", ["a mapping", "not a list"]),
        ("study: [unclosed\n", ["line", "not YAML"]),
        (GOOD + "study: again\n", ["'study' stands twice"]),
        (GOOD.replace("study: tiny", "study: 'no spaces allowed'"), ["study", "no spaces allowed"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key_and_fix(tmp_path: Path, text: str, words: list[str]) -> None:
    message = complaint(tmp_path, text)
    assert str(tmp_path / "study.yaml") in message
    for word in words:
        assert word in message


def test_several_mistakes_are_named_at_once(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD + "sampling: {max_tokens: 0, repeats: 0}\nfo: 1\n")
    assert len(message.splitlines()) == 3


def test_a_missing_folder_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such study file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="this is a folder"):
        load_study(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("study: caf\xe9\n".encode("latin-1"))
    with pytest.raises(SpecError, match="not UTF-8"):
        load_study(latin)


def test_overrides_reach_any_value(tmp_path: Path) -> None:
    study = load_study(
        write(tmp_path, GOOD),
        overrides=["sampling.max_tokens=512", "models[toy].limits.concurrency=3", "analysis.alpha=0.01"],
    )
    assert study.sampling.max_tokens == 512
    assert study.models[0].limits.concurrency == 3
    assert study.analysis.alpha == 0.01


@pytest.mark.parametrize("override", ["sampling.max_tokens", "models[nobody].model=x", "study.name=x", "a..b=1", "=1"])
def test_an_override_that_leads_nowhere_is_refused(tmp_path: Path, override: str) -> None:
    assert f"--set {override}" in complaint(tmp_path, GOOD, override)


API = """
study: tiny
models:
  - {name: toy, engine: openai, model: m, limits: LIMITS}
requests: {source: "bundled:harmful"}
"""


def test_limits_and_pools_are_read() -> None:
    limits = "{rpm: 9, rpd: 99, input_tpm: 5, output_tpm: 4, charge: actual, concurrency: 2}"
    study = parse_study(yaml.safe_load(API.replace("LIMITS", limits)), origin="x")
    assert (study.models[0].limits.rpd, study.models[0].limits.charge, study.models[0].limits.pool) == (
        99,
        "actual",
        None,
    )
    pooled = parse_study(yaml.safe_load(API.replace("LIMITS", "{pool: p}") + "pools: {p: {tpm: 7}}"), origin="x")
    assert pooled.pools["p"].tpm == 7


@pytest.mark.parametrize(
    ("limits", "more", "says"),
    [
        ("{rpm: 0}", "", ["models[toy].limits.rpm", "greater than or equal to 1"]),
        ("{rpm: 1.5}", "", ["models[toy].limits.rpm", "1.5"]),
        ("{rmp: 5}", "", ["models[toy].limits.rmp", "did you mean 'rpm'"]),
        ("{charge: max}", "", ["models[toy].limits.charge", "reserve_max"]),
        ("{pool: p}", "", ["models[toy].limits.pool", "'p' is no name from pools (none)"]),
        ("{pool: p, rpm: 5}", "pools: {p: {rpm: 6}}", ["limits.rpm stands beside limits.pool", "move it to pools.p"]),
        ("{pool: p}", "pools: {p: {rpm: 6}, q: {rpm: 5}}", ["pools.q", "remove the pool"]),
        ("{pool: p}", "pools: {p: {pool: p}}", ["pools.p.pool", "unknown key"]),
    ],
)
def test_a_wrong_limit_is_one_message_with_file_key_and_fix(limits: str, more: str, says: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_study(yaml.safe_load(API.replace("LIMITS", limits) + more), origin="study.yaml")
    message = str(caught.value)
    assert message.startswith("study.yaml: ")
    assert [word for word in says if word not in message] == []


def test_a_pool_is_one_account() -> None:
    raw = yaml.safe_load(API.replace("LIMITS", "{pool: p}") + "pools: {p: {rpm: 6}}")
    raw["models"].append({**raw["models"][0], "name": "other", "api_key_env": "OTHER_KEY"})
    with pytest.raises(SpecError, match=r"models\[other\].limits.pool: 'p' is also the pool of 'toy'"):
        parse_study(raw, origin="x")
