"""How much of a rate limit a run uses, and how much of what it sends is refused: real runs, simulated server.

    python benchmarks/rate_limit.py --kind fixed|sliding|bucket --case CASE [--seconds 300]

The cases: requests, tokens, two-drivers, halving. One or two `afgap run` on a local Ray cluster, through the real
openai SDK, against the stand-in server in a process of its own on loopback. Both numbers come from the server's own
counts, second by second: the share is what it admitted over the sum of the limit in force, without the first and the
last ten seconds. Appends a line to benchmarks/results/rate_limit.jsonl.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from measured import ROOT, append_result

from core.engines.stand_in.process import StandInProcess, counts_at, start_stand_in
from core.engines.stand_in.server import StandInOptions
from ray_jobs.cluster import ray_session

RPM = 1200
TPM = 1_500_000
MAX_TOKENS = 600
EDGE_S = 10
LATENCY_MS = 200.0
GOALS = {"requests": (0.97, 0.01)}
OTHER_GOAL = (0.93, 0.03)


def main() -> int:
    """0 where both goals are reached, else 1."""
    options = _parser().parse_args()
    drivers = 2 if options.case == "two-drivers" else 1
    with tempfile.TemporaryDirectory() as folder, _server(options) as server, ray_session(None):
        address = ray.get_runtime_context().gcs_address
        studies = [_write_study(Path(folder), server, options, driver=each, drivers=drivers) for each in range(drivers)]
        began = time.monotonic()
        runs = [_start_run(study, address=address) for study in studies]
        codes = [run.wait() for run in runs]
        seconds = time.monotonic() - began
        counts = counts_at(server.port)
    result = _result(counts, options)
    goal_share, goal_refused = GOALS.get(options.case, OTHER_GOAL)
    is_reached = result["share_used"] >= goal_share and result["share_refused"] <= goal_refused
    is_reached = is_reached and codes == [0] * drivers
    settings = {"kind": options.kind, "case": options.case, "asked_s": options.seconds, "simulated": True}
    goals = {"goal_share": goal_share, "goal_refused": goal_refused, "is_reached": is_reached, "exit_codes": codes}
    append_result("rate_limit", **settings, **result, **goals, took_s=round(seconds, 1))
    print(f"{options.kind} {options.case}: share used {result['share_used']:.3f} (goal {goal_share}), refused "
          f"{result['share_refused']:.4f} (goal {goal_refused}), over {result['steady_s']} s: "
          f"{'reached' if is_reached else 'NOT reached'}")  # fmt: skip
    return 0 if is_reached else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("bucket", "fixed", "sliding"), required=True)
    parser.add_argument("--case", choices=("requests", "tokens", "two-drivers", "halving"), required=True)
    parser.add_argument("--seconds", type=int, default=300, help="how long the limit binds, about")
    return parser


def _server(options: argparse.Namespace) -> StandInProcess:
    """A server with the limits of the case; with a limit of tokens, that of requests is far away."""
    is_tokens = options.case == "tokens"
    return start_stand_in(
        "planted",
        StandInOptions(
            rpm=RPM * 5 if is_tokens else RPM,
            tpm=TPM if is_tokens else None,
            limit_kind=options.kind,
            latency_ms=LATENCY_MS,
            halve_after_s=options.seconds / 2 if options.case == "halving" else None,
        ),
    )


def _write_study(
    folder: Path, server: StandInProcess, options: argparse.Namespace, *, driver: int, drivers: int
) -> Path:
    """A generation-only study with as many calls as the limits let through in that time."""
    calls = RPM / 60 * (options.seconds + 2 * EDGE_S) / drivers
    if options.case == "halving":
        calls = RPM / 60 * (0.75 * options.seconds + 2 * EDGE_S)
    if options.case == "tokens":
        calls = TPM / TOKENS_PER_CALL / 60 * (options.seconds + 2 * EDGE_S)
    limits: dict[str, Any] = {"rpm": RPM, "concurrency": 128}
    if options.case == "tokens":
        limits = {"rpm": RPM * 5, "tpm": TPM, "concurrency": 128}
    requests = folder / f"requests-{driver}.jsonl"
    texts = (f"Made-up request {driver}.{at}, asking for note {at * 7919}." for at in range(int(calls / 2)))
    rows = (json.dumps({"id": f"r{at:06}", "text": text}) for at, text in enumerate(texts))
    requests.write_text("\n".join(rows) + "\n", encoding="utf-8")
    study = {
        "study": f"rate-limit-{driver}",
        "models": [
            {
                "name": "model", "engine": "openai", "model": "stand-in-2026-11-01", "stand_in": "planted",
                "base_url": server.openai_url, "limits": limits,
            }
        ],
        "requests": {"source": str(requests)},
        "sampling": {"max_tokens": MAX_TOKENS},
        "judges": {"compliance": {"model": "rules"}},
    }  # fmt: skip
    path = folder / f"study-{driver}.yaml"
    path.write_text(json.dumps(study), encoding="utf-8")  # JSON is YAML
    return path


TOKENS_PER_CALL = 2_000
"""About: the prompt of the two-tier scenario, and max_tokens. For the number of calls only."""


def _start_run(study: Path, *, address: str) -> "subprocess.Popen[bytes]":
    """`afgap run` in a workspace of its own."""
    command = [sys.executable, "-m", "ray_jobs", "run", str(study), "--address", address]
    command += ["--workspace", str(study.with_suffix(""))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def _result(counts: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Shares of the limit used and of requests refused in the steady part."""
    seconds = counts["by_second"][EDGE_S:-EDGE_S]
    unit, admitted = ("tokens", "tokens") if options.case == "tokens" else ("requests", "admitted")
    used = sum(each[admitted] for each in seconds)
    in_force = sum(each["limits"][unit] / 60 for each in seconds)
    let_in, refused = sum(each["admitted"] for each in seconds), sum(each["refused"] for each in seconds)
    return {
        "share_used": round(used / in_force, 4) if in_force else 0.0,
        "share_refused": round(refused / max(1, let_in + refused), 4),
        "steady_s": len(seconds),
        "admitted": let_in,
        "refused": refused,
        "repeated_calls": len(counts["repeats"]),
    }


if __name__ == "__main__":
    sys.exit(main())
