"""`afgap models`, and what `plan` says of models: gone, of unknown context, read in another way."""

import json

import pytest

from ray_jobs.cli import main

STUDY = """
study: s
models:
  - {name: gone, catalogue: claude-3-opus}
  - {name: unknown, catalogue: grok-3}
  - {name: told, catalogue: claude-3-opus, stand_in: planted, reasoning: {scratchpad_source: hidden}}
  - {name: small, catalogue: gpt-4, sampling: {max_tokens: 8000}}
requests: {source: "bundled:harmful", limit: 2}
budget: {unknown_price: allow}
"""


def test_the_catalogue_is_listed_for_people_and_as_json(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert "claude-3-opus " in printed
    assert "retired 2026-01-05" in printed
    assert "genai-prices 0.2.3" in printed
    assert main(["models", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    by_id = {row["id"]: row for row in facts["models"]}
    assert by_id["o3"]["capabilities"]["hidden_reasoning"] is True
    assert by_id["grok-3"]["context_length"] is None
    assert by_id["llama-3-405b"]["base_url"] == "https://openrouter.ai/api/v1"
    assert by_id["llama-3-8b-base"]["capabilities"]["chat_template"] == "none"


def test_one_model_is_told_in_full_and_a_wrong_id_names_near_ones(capsys):
    assert main(["models", "grok-3"]) == 0
    assert "context_length: not known" in capsys.readouterr().out
    assert main(["models", "claude-3-opuss"]) == 2
    assert "did you mean claude-3-opus" in capsys.readouterr().err


@pytest.fixture
def plan(tmp_path, capsys):
    """What `plan` prints of a study."""

    def run(text):
        path = tmp_path / "s.yaml"
        path.write_text(text)
        code = main(["plan", str(path), "--workspace", str(tmp_path / "w")])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


def test_the_plan_says_which_models_are_gone_unknown_too_small_or_read_otherwise(plan):
    code, printed = plan(STUDY)
    assert code == 0
    assert "not available: gone: retired on 2026-01-05" in printed
    assert "models[unknown]: its context length is not known" in printed
    assert "scratchpad of told: tagged blocks and what is told of hidden reasoning" in printed
    assert "models[small]: a prompt of" in printed
    assert "do not fit its context of 8192 (estimated)" in printed
    assert "not available: told" not in printed


def test_a_context_that_the_study_states_is_checked(plan):
    code, printed = plan(STUDY.replace("catalogue: grok-3", "catalogue: grok-3, context_length: 2000"))
    assert (code, "models[unknown]: a prompt of" in printed) == (0, True)
