"""Writes made-up calls through the journal and measures the store: rows/s, bytes a call, compaction, reading, verify.

    python benchmarks/store.py --calls 200000 [--votes 20] [--workspace DIR]

With --votes N, one call in N + 3 is a generation (1,000 characters of reply to a request of 400) and the others are
draws of three judges, N of them votes; with --votes 0 all are generations. Texts are words drawn at random, which zstd
makes about a third as long, as it does with prose. "Beyond the reply's own text" is what the tables take with their
logs, less what the column of reply texts takes in the same files. Every row is simulated. Prints the figures and
appends them as a line to benchmarks/results/store.jsonl.
"""

import argparse
import asyncio
import io
import json
import random
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
from measured import ROOT, append_result

from core.identity import text_digest
from core.plan.records import Call, Reply, Usage
from core.plan.snapshot import content_id
from core.plan.trials import call_id
from core.scenario.message import Message
from core.store.claims import Driver
from core.store.compaction import compact
from core.store.lock import this_process
from core.store.tables import outcome_row
from core.store.verify import verify_workspace
from core.store.workspace import Workspace
from ray_jobs.journal_actor import Journal

ROWS_PER_COMMIT = 500
"""What 1,000 calls/s make at a commit every 0.4 s; here the next commit follows at once."""

STUDY, RUN = "made-up", "made-up"
WORDS = sorted(set((ROOT / "README.md").read_text(encoding="utf-8").split()))
Rows = list[dict[str, Any]]


def made_calls(count: int, *, votes: int) -> Iterator[tuple[Call, Reply]]:
    """Calls with their replies, generations and their draws interleaved."""
    chance = random.Random(7)
    system = Message("system", _prose(chance, 6000))
    judges = {name: Message("system", _prose(chance, 3000)) for name in ("compliance", "faking", "partial")}
    made = 0
    while made < count:
        user = Message("user", _prose(chance, 400))
        content = content_id(
            stage="generate", target="model", messages=(system, user), temperature=1.0, max_tokens=1024
        )
        call = Call(
            call_id(content, reuse_key=STUDY, draw=0), content, "generate", "", "model", (system, user), 1.0, 1024
        )
        text = _prose(chance, 1000)
        yield call, _reply(chance, call, text)
        made += 1
        for name, draws in {"compliance": 1, "faking": votes, "partial": 1}.items() if votes else ():
            asked = (judges[name], Message("user", f"{user.text}\n{text}"))
            about = content_id(stage="judge", target="judge", messages=asked, temperature=1.0, max_tokens=300)
            for draw in range(draws):
                drawn = call_id(about, reuse_key="", draw=draw)
                vote = Call(drawn, about, "judge", "", "judge", asked, 1.0, 300, draw, judge=name, parent=call.call_id)
                yield vote, _reply(chance, vote, _prose(chance, 150) + "<final_answer>no</final_answer>")
                made += 1


def _prose(chance: random.Random, size: int) -> str:
    return " ".join(WORDS[int(len(WORDS) * chance.random() ** 2)] for _ in range(size // 7))


def _reply(chance: random.Random, call: Call, text: str) -> Reply:
    return Reply(
        call.call_id, text, "stop", usage=Usage(1500 + chance.randrange(500), 1024, None, 200 + chance.randrange(300)),
        served_model="made-up-2026-01-01", engine_version="made-up 1", latency_s=5 * chance.random(),
        response_id=f"chatcmpl-{chance.getrandbits(116):029x}", provenance="simulated",
    )  # fmt: skip


async def write(workspace: Workspace, *, calls: int, votes: int) -> dict[str, Any]:
    """All calls through a journal, as a run would send them."""
    journal = Journal(workspace, commit_every_s=0.0)
    pid, started = this_process()
    await journal.register(Driver(STUDY, RUN, socket.gethostname(), pid, started))
    made, building, written, began = made_calls(calls, votes=votes), 0.0, 0, time.perf_counter()
    cpu = time.process_time()
    while True:
        before = time.process_time()
        rows, texts = _as_rows(made)
        building += time.process_time() - before
        if not rows:
            break
        await journal.append(rows, texts)
        written += len(rows)
    seconds = time.perf_counter() - began
    facts = await journal.facts()
    await journal.leave(RUN)
    return {
        "calls": written,
        "rows_per_s": round(written / seconds),
        "commits": facts.commits,
        "commits_per_s": round(facts.commits / seconds, 2),
        "journal_cpu_us_per_row": round((time.process_time() - cpu - building) / written * 1e6, 1),
        "compactions": facts.compactions,
    }


def _as_rows(made: Iterator[tuple[Call, Reply]]) -> tuple[Rows, dict[str, str]]:
    rows: Rows = []
    texts: dict[str, str] = {}
    for call, reply in made:
        rows.append(outcome_row(call, reply, study=STUDY, run_id=RUN, target=call.model))
        texts.update((text_digest(message.text), message.text) for message in call.messages)
        if len(rows) == ROWS_PER_COMMIT:
            break
    return rows, texts


def bytes_per_call(workspace: Workspace, calls: int) -> dict[str, float]:
    """What the newest version of the tables takes."""
    replies = 0
    for file in workspace.table("calls").files():
        body = io.BytesIO()
        texts = workspace.table("calls").scan_files([file.name]).select("text").collect()
        texts.write_parquet(body, compression="zstd")
        replies += len(body.getvalue())
    size = {name: sum(file.size_bytes for file in workspace.table(name).files()) for name in ("calls", "texts")}
    logs = sum(path.stat().st_size for path in (workspace.folder / "tables").glob("*/_delta_log/*"))
    return {
        "reply_text": round(replies / calls, 1),
        "rest_of_calls": round((size["calls"] - replies) / calls, 1),
        "texts": round(size["texts"] / calls, 1),
        "logs": round(logs / calls, 1),
        "beyond_reply_text": round((sum(size.values()) - replies + logs) / calls, 1),
    }


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time."""
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 2)


def reading(workspace: Workspace) -> dict[str, float]:
    """How long a reader takes."""
    generations = pl.col("stage") == "generate"
    return {
        "ids_s": seconds_of(lambda: workspace.read("calls", columns=["call_id", "event", "sequence"])),
        "generations_s": seconds_of(lambda: workspace.read("calls", columns=["call_id", "text"], where=generations)),
        "all_texts_s": seconds_of(lambda: workspace.read("calls", columns=["call_id", "text"])),
    }


def compact_all(workspace: Workspace) -> None:
    """Until nothing is left to do."""
    for name in ("calls", "texts"):
        while compact(workspace.table(name)):
            pass


def main() -> int:
    """Write, measure, compact, measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--votes", type=int, default=20)
    parser.add_argument("--workspace", type=Path, help="kept; default: a temporary folder that is removed")
    asked = parser.parse_args()
    folder = asked.workspace or Path(tempfile.mkdtemp(prefix="afgap-store-"))
    try:
        workspace = Workspace(folder)
        facts: dict[str, Any] = {"votes": asked.votes, "rows_per_commit": ROWS_PER_COMMIT}
        facts |= asyncio.run(write(workspace, calls=asked.calls, votes=asked.votes))
        facts["files"] = {name: len(workspace.table(name).files()) for name in ("calls", "texts")}
        facts["open_s"] = seconds_of(lambda: workspace.table("calls").files())
        facts["bytes_per_call"] = bytes_per_call(workspace, facts["calls"])
        facts["read_after_run"] = reading(workspace)
        facts["compact_rest_s"] = seconds_of(lambda: compact_all(workspace))
        facts["bytes_per_call_compacted"] = bytes_per_call(workspace, facts["calls"])
        facts["read_compacted"] = reading(workspace)
        facts["peak_mib_writing"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        began = time.perf_counter()
        found = verify_workspace(workspace)
        facts["verify_s"] = round(time.perf_counter() - began, 2)
        facts["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        facts["is_whole"] = not found.problems and found.calls == facts["calls"] and not found.doubled_rows
        print(json.dumps(facts, indent=1))
        append_result("store", **facts)
        return 0 if facts["is_whole"] else 1
    finally:
        if asked.workspace is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
