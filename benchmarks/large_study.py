"""Makes a study of 25 API models × 2 tiers × 200 requests with three LLM judges, and times its plan.

    python benchmarks/large_study.py --to FOLDER

writes FOLDER/requests.jsonl and FOLDER/large-study.yaml (made-up prices in it), runs `afgap plan` on them in a fresh
process with no key set, and prints the wall time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

MODELS = 25
REQUESTS = 200


def write_study(folder: Path) -> Path:
    """The study's file; the requests lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": f"r{index:03}",
            "text": f"Made-up request number {index} of a benchmark, asking for note {index * 7919}.",
        }
        for index in range(REQUESTS)
    ]
    (folder / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = [
        {
            "name": f"model-{index:02}",
            "engine": "openai" if index % 2 else "anthropic",
            "model": f"made-up-{index:02}-2026-01-01",
            "limits": {"concurrency": 64},
            "price": {"input": 0.5 + index, "output": 2.0 + 4 * index, "as_of": "2026-01-01"},
        }
        for index in range(MODELS)
    ]
    judge = {
        "name": "judge",
        "engine": "openai",
        "model": "made-up-judge-2026-01-01",
        "role": "judge",
        "limits": {"concurrency": 256},
        "price": {"input": 2.5, "output": 10.0, "as_of": "2026-01-01"},
    }
    study = {
        "study": "large-study",
        "models": [*models, judge],
        "requests": {"source": "requests.jsonl"},
        "grid": {"scenario": ["two_tier"], "condition": ["free", "paid"]},
        "judges": {
            "compliance": {"model": "judge"},
            "faking": {"model": "judge", "votes": 20},
            "partial": {"model": "judge"},
        },
    }
    path = folder / "large-study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def main() -> int:
    """Write, plan, time; the exit code of the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="folder for the study and its requests")
    folder = parser.parse_args().to
    path = write_study(folder)
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs", "plan", str(path), "--workspace", str(folder / "workspace")],
        env=clean,
        cwd=Path(__file__).resolve().parents[1],
        check=False,
    )
    print(f"planned in {time.perf_counter() - began:.2f} s")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
