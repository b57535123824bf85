"""The vLLM lane (Ray actor, dispatcher, journal, tables) against bare `vllm.LLM`: output tokens per second.

    python benchmarks/vllm_lane.py [--requests 48] [--max-tokens 192] [--pairs 3]

Same prompts, same engine arguments, same process environment, one after the other in the same run; starting the
engines and ending them is not counted. Prints both rates and lane ÷ bare of each pair.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median_high

from core.plan.build import build_snapshot, trial_messages
from core.plan.snapshot import Snapshot
from core.schedule.lanes import lanes_of
from core.schedule.progress import RunProgress
from core.spec.load import parse_study
from core.store.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
ENGINE_ARGS = {"max_model_len": 8192, "enforce_eager": True}
MODEL = "bundled:smollm2-135m-instruct"


def make_snapshot(*, requests: int, max_tokens: int) -> Snapshot:
    """Both tiers of the first N bundled requests, judged by the rules: generation only."""
    raw = {
        "study": "vllm-lane",
        "models": [{"name": "model", "engine": "vllm", "model": MODEL, "engine_args": ENGINE_ARGS}],
        "requests": {"source": "bundled:harmful", "limit": requests},
        "sampling": {"max_tokens": max_tokens},
    }
    return build_snapshot(parse_study(raw, origin="benchmark"), folder=ROOT, behaviours={})


def lane_rate(snapshot: Snapshot) -> float:
    """Output tokens per second from the first pull until every reply is committed, seen every half second."""
    from ray_jobs.cluster import ray_session
    from ray_jobs.crew import Assignment, Crew

    with tempfile.TemporaryDirectory() as folder, ray_session(None) as session:
        workspace = Workspace(Path(folder) / "workspace")
        lanes = lanes_of(snapshot.spec.models, targets=dict(snapshot.targets), gpus=session.gpus)
        assignment = Assignment(
            snapshot=snapshot,
            is_new=True,
            run_id="benchmark",
            lanes=lanes,
            stand_in_digests={},
            prices={},
            budget_usd=None,
            settled_usd=0.0,
            trial_limit=len(snapshot.trials),
            retry_failed=False,
        )
        crew = Crew(assignment, workspace=workspace, scratch=session.scratch)
        began = time.perf_counter()
        crew.start_engines()
        print(f"lane: engine up after {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        all_stored: list[float] = []

        def note(progress: RunProgress) -> None:
            if progress.trials_ended == progress.trials_total and not all_stored:
                all_stored.append(time.perf_counter())

        end = crew.watch(note)
        seconds = (all_stored or [time.perf_counter()])[0] - began
        crew.dismiss()
        tokens = end.progress.lanes["model"].output_tokens
        assert end.progress.trials_ended == len(snapshot.trials)
    print(f"lane: {tokens} tokens in {seconds:.1f} s = {tokens / seconds:.1f} tokens/s", flush=True)
    return tokens / seconds


def bare_rate(snapshot: Snapshot) -> float:
    """The same prompts handed to `vllm.LLM.chat` at once, in a process of its own."""
    prompts = [
        [{"role": message.role, "content": message.text} for message in trial_messages(snapshot, trial)]
        for trial in snapshot.trials
    ]
    done = subprocess.run(
        [sys.executable, __file__, "--bare", str(snapshot.spec.sampling.max_tokens)],
        input=json.dumps(prompts),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    # vLLM talks on standard output too
    facts = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"tokens"')))
    rate = float(facts["tokens"]) / float(facts["seconds"])
    print(f"bare: {facts['tokens']} tokens in {facts['seconds']:.1f} s = {rate:.1f} tokens/s", flush=True)
    return rate


def run_bare(max_tokens: int) -> None:
    """The reference: reads prompts from standard input, prints tokens and seconds."""
    from core.engines.vllm_engine import vllm_arguments

    prompts = json.load(sys.stdin)
    arguments = vllm_arguments(MODEL, ENGINE_ARGS)
    from vllm import LLM, SamplingParams

    engine = LLM(**arguments)
    began = time.perf_counter()
    outputs = engine.chat(prompts, SamplingParams(temperature=0.0, max_tokens=max_tokens), use_tqdm=False)
    seconds = time.perf_counter() - began
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    print(json.dumps({"tokens": tokens, "seconds": seconds}))


def main() -> int:
    """Print the ratio of every pair and their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare is not None:
        run_bare(options.bare)
        return 0
    snapshot = make_snapshot(requests=options.requests, max_tokens=options.max_tokens)
    ratios = []
    for _ in range(options.pairs):
        ratios.append(lane_rate(snapshot) / bare_rate(snapshot))
        print(f"lane ÷ bare: {ratios[-1]:.3f}", flush=True)
    print(f"median lane ÷ bare: {median_high(ratios):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
