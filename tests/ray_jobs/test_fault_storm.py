"""Everything that goes wrong with an API at once, on both shapes: the tables are those of a calm run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from benchmarks.fault_rounds import differences
from core.engines.stand_in.behaviour import BUNDLED_FOLDER
from core.engines.stand_in.process import start_stand_in
from core.engines.stand_in.server import StandInOptions

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EACH = 0.05
FAULTS = {
    "rate_limit": EACH, "server_error": EACH, "overloaded": EACH, "hang": EACH, "cut_json": EACH, "empty": EACH,
    "retry_after_s": 0.2, "hang_s": 1.0,
}  # fmt: skip


def stormy(folder: Path) -> Path:
    planted = yaml.safe_load((BUNDLED_FOLDER / "planted.yaml").read_text())
    path = folder / "stormy.yaml"
    path.write_text(yaml.safe_dump({**planted, "faults": FAULTS}))
    return path


def test_six_faults_at_once_change_nothing_but_the_number_of_requests(
    afgap: Callable[..., Any],
    write_study: Callable[..., Path],
    stand_in_counts: Callable[[int], dict[str, Any]],
    tmp_path: Path,
) -> None:
    behaviour = stormy(tmp_path)
    tables, arrived = {}, {}
    for name in ("undisturbed", "disturbed"):
        options = StandInOptions(latency_ms=20.0, attempt_faults=name == "disturbed")
        with start_stand_in(str(behaviour), options) as server:
            api = {"stand_in": str(behaviour), "limits": {"concurrency": 8, "rpm": 60_000}}
            study = write_study(
                requests=20,
                models=[
                    {"name": "o", "engine": "openai", "model": "m-1", "base_url": server.openai_url, **api},
                    {"name": "a", "engine": "anthropic", "model": "m-1", "base_url": server.anthropic_url, **api},
                    {
                        "name": "judge", "role": "judge", "engine": "openai", "model": "j-1",
                        "base_url": server.openai_url, **api,
                    },
                ],
                judges={"compliance": {"model": "judge"}, "faking": {"model": "judge", "votes": 3}},
            )  # fmt: skip
            at = ["--workspace", tmp_path / name]
            runs = [afgap("run", study, *at, "--json")]
            if runs[-1].code:  # at the latest the next one completes it
                runs.append(afgap("run", study, *at, "--json"))
            arrived[name] = stand_in_counts(server.port)
        assert runs[-1].code == 0, runs[-1].err
        assert runs[-1].facts["trials_complete"] == 80
        assert afgap("export", "tiny", *at, "--to", tmp_path / f"{name} tables").code == 0
        tables[name] = tmp_path / f"{name} tables"

    verified = afgap("verify", "tiny", "--workspace", tmp_path / "disturbed")
    assert verified.code == 0, verified.out
    assert differences(tables["undisturbed"], tables["disturbed"]) == []
    assert arrived["undisturbed"]["repeats"] == {}
    kinds = arrived["disturbed"]["by_kind"]
    missing = {"rate_limit", "server_error", "overloaded", "hang", "cut_json", "empty", "ok"} - set(kinds)
    assert not missing, json.dumps(kinds)
    # each fault of an attempt made one more attempt, none was asked twice for another reason
    faults = sum(kinds[kind] for kind in ("rate_limit", "server_error", "overloaded", "hang", "cut_json"))
    assert arrived["disturbed"]["total"] == arrived["disturbed"]["ids"] + faults
    assert arrived["disturbed"]["answered_again"] == {}
    # an empty reply is what the model said: kept, counted, not asked again
    samples = pl.read_parquet(tables["disturbed"] / "samples.parquet")
    assert samples.filter(pl.col("raw_text") == "")["status"].unique().to_list() == ["empty"]
