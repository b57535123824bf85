"""Makes .venv hold exactly what a lock file names; what stands in the way is said in one sentence.

    environment.py env       create or complete .venv; returns at once where its stamp says that it is complete
    environment.py demo      make the bundled model ready and run the quickstart study
    environment.py browser   in CI, install the Chromium that the tests marked `browser` need

Standard library only: it runs on the system's Python 3.11 before anything is installed. A call that was interrupted is
taken up by the next one, because the stamp is written last and every step before it skips what is there.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "afgap-stamp.json"
UV_PIP = (str(PYTHON), "-m", "uv", "pip")

# uv installs in a tenth of pip's time and takes up what it fetched before; pinned because its resolver's and its
# command line's details change between minor versions.
UV = "uv==0.13.9"

# Only torch's CPU build is not on the ordinary index.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# Measured for cpu (4.4 GB installed, 0.6 GB for the model); gpu holds CUDA's libraries besides.
DISK_GB = {"cpu": 6, "gpu": 16, "api": 2}

NO_NETWORK = re.compile(
    r"name resolution|name or service not known|dns error|failed to lookup address|nodename nor servname"
    r"|connection refused|connection reset|network is unreachable|no route to host|NewConnectionError|timed out"
    r"|error sending request|client error \(connect\)|could not connect|tunnel",
    re.IGNORECASE,
)


class SetupError(Exception):
    """Set-up can't go on; the message is the one sentence that the user reads."""


def build_for_this_machine() -> str:
    """`gpu`, `cpu` or `api` (no local engine); BUILD in the environment overrides it."""
    asked = os.environ.get("BUILD", "")
    if asked:
        if asked not in DISK_GB:
            raise SetupError(f"BUILD={asked} is none of {', '.join(DISK_GB)}: correct it, or leave it out.")
        return asked
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return "api"
    return "gpu" if platform.machine() == "x86_64" and has_nvidia_gpu() else "cpu"


def has_nvidia_gpu() -> bool:
    """A GPU whose driver answers; a driver without a GPU, or a broken one, does not count."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60, check=False)
        return listed.returncode == 0 and "GPU" in listed.stdout
    return False


def check_python() -> None:
    """SetupError unless this is Python 3.11, the only one that every pinned package was tried with."""
    if sys.version_info[:2] != (3, 11):
        raise SetupError(
            f"this needs Python 3.11 and no other (3.12 and 3.13 are not tried yet), and {sys.executable} is "
            f"{platform.python_version()}: name the right one, as in PYTHON=/path/to/python3.11 make demo."
        )


def check_disk(build: str) -> None:
    """SetupError where the disk can't take the packages; what an interrupted call left in .venv counts as there."""
    needed_gb = DISK_GB[build]
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        free_gb += sum(path.lstat().st_size for path in VENV.rglob("*")) / 1e9
    if free_gb < needed_gb:
        raise SetupError(
            f"no disk space: the {build} build needs about {needed_gb} GB and {ROOT} has {free_gb:.1f} GB: "
            "free some and run the same command again."
        )


def explain(step: str, output: str) -> str:
    """The one sentence for a step that failed, read off what its command printed."""
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return f"no disk space: {step} filled the disk: free some and run the same command again, it goes on from here."
    if re.search(r"ensurepip is not available|No module named '?(venv|ensurepip)", output):
        return f"{sys.executable} can't make virtual environments: install its venv package (Debian: python3.11-venv)."
    if NO_NETWORK.search(output):
        return (
            f"no network: {step} could not reach the package index: connect, or give a mirror in pip's index-url, "
            "and run the same command again, it goes on from here."
        )
    return f"{step} failed, see above: mend it and run the same command again, it goes on from here."


def run(step: str, *command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run one step with its output shown, less the list of installed packages; SetupError where it fails."""
    print(f"afgap: {step} …", flush=True)
    said = []
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if not line.startswith((" + ", " - ", " ~ ")):
                print(f"  {line.rstrip()}", flush=True)
    if process.returncode:
        raise SetupError(explain(step, "".join(said)))


def wanted_stamp(build: str) -> dict[str, str]:
    """What a complete .venv was made from: any change of it makes the environment anew or completes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed_as = json.dumps([project["name"], project["version"], project.get("scripts", {})])
    digest = hashlib.sha256(lock_of(build).read_bytes() + installed_as.encode() + UV.encode()).hexdigest()
    return {"build": build, "digest": digest, "python": platform.python_version(), "root": str(ROOT)}


def lock_of(build: str) -> Path:
    """The lock file of a build."""
    return ROOT / "requirements" / f"{build}.txt"


def is_complete(stamp: dict[str, str]) -> bool:
    """Whether .venv was finished with exactly this stamp and its Python is still there."""
    if not os.access(PYTHON, os.X_OK):
        return False
    try:
        return bool(json.loads(STAMP.read_text(encoding="utf-8")) == stamp)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the repository's folder: a second set-up in it waits for the first."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("afgap: another set-up is running here, waiting for it …", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make_venv() -> None:
    """An empty .venv of this Python with pip, unless there is one; one that was moved or cut short is made anew."""
    settings = VENV / "pyvenv.cfg"
    # Scripts in a virtual environment hold its absolute path: after a move they start nothing, or the wrong Python.
    if settings.is_file() and f"{VENV}\n" in settings.read_text(encoding="utf-8") and os.access(PYTHON, os.X_OK):
        probe = [str(PYTHON), "-c", "import sys, pip; print(sys.version.split()[0])"]
        said = subprocess.run(probe, capture_output=True, text=True, check=False).stdout.strip()
        if said == platform.python_version():
            return
    run("making .venv", sys.executable, "-m", "venv", "--clear", VENV)


def pip_settings() -> dict[str, str]:
    """`index-url` and `find-links` as pip has them from its files and variables, which uv does not read."""
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    pairs = re.findall(r"^(?:global|install|:env:)\.(index-url|find-links)='(.*)'$", listed, re.MULTILINE)
    return {key: value.replace("\\n", " ").strip() for key, value in pairs}


def install_torch(torch: str, find_links: list[str]) -> None:
    """torch's CPU build from the first folder or page that has its wheel, else from PyTorch's own index."""
    install = (*UV_PIP, "install", "--python", str(PYTHON), "--no-deps", torch)
    for source in ((), *(("--find-links", each) for each in find_links)):
        # Without any source it succeeds where torch is there already.
        command = [*install, "--no-index", *source]
        if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0:
            return
    index = os.environ.get("TORCH_CPU_INDEX", TORCH_CPU_INDEX)
    run(f"fetching {torch} from {index} (a folder named by PIP_FIND_LINKS serves too)", *install, "--index-url", index)


def set_up() -> str:
    """.venv as the lock file says; returns the build. Does nothing where it is complete."""
    check_python()
    build = build_for_this_machine()
    stamp = wanted_stamp(build)
    if is_complete(stamp):
        print(f"afgap: .venv is complete ({build} build)")
        return build
    with one_at_a_time():
        if is_complete(stamp):
            return build
        check_disk(build)
        STAMP.unlink(missing_ok=True)
        make_venv()
        run("fetching uv", PYTHON, "-m", "pip", "install", "--quiet", "--retries", "2", UV)
        settings = pip_settings()
        # Large wheels on a slow line outlast uv's 30 s.
        env = {"UV_HTTP_TIMEOUT": os.environ.get("UV_HTTP_TIMEOUT", "180")}
        if "index-url" in settings and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & os.environ.keys():
            env["UV_DEFAULT_INDEX"] = settings["index-url"]
        torch = re.search(r"^torch==\S+\+cpu$", lock_of(build).read_text(encoding="utf-8"), re.MULTILINE)
        if torch:
            install_torch(torch.group(), settings.get("find-links", "").split())
        run(f"installing the {build} build", *UV_PIP, "sync", "--python", PYTHON, lock_of(build), env=env)
        # Without isolation the build uses the locked hatchling: no network, a known version.
        own = ("install", "--python", PYTHON, "--no-deps", "--no-build-isolation", "--editable", ".")
        run("installing afgap itself", *UV_PIP, *own, env=env)
        unfinished = STAMP.with_suffix(".part")
        unfinished.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(STAMP)
    return build


def demo() -> None:
    """Run the quickstart on the bundled model; the stand-in study where vLLM has no build."""
    if build_for_this_machine() == "api":
        print("afgap: vLLM has no build for this machine: the stand-in answers, every result is simulated.", flush=True)
        study = "stand-in.yaml"
    else:
        run("making the bundled model ready", PYTHON, "-m", "core.engines.bundled_model")
        study = "quickstart.yaml"
    os.chdir(ROOT)
    afgap = str(VENV / "bin" / "afgap")
    os.execv(afgap, [afgap, "run", f"ray_jobs/studies/{study}"])


def browser() -> None:
    """In CI on Linux install Chromium and its driver where they are missing; elsewhere the tests say that they skip."""
    if os.environ.get("CI") != "true" or sys.platform != "linux":
        return
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return
    apt = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), "apt-get", "-qq"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run("reading Debian's package lists", *apt, "update", env=quiet)
    packages = ("chromium", "chromium-driver", "fonts-liberation")  # without a font a page shows boxes
    run("installing Chromium", *apt, "install", "--yes", "--no-install-recommends", *packages, env=quiet)


def main(arguments: list[str]) -> int:
    """Carry out one of the three commands."""
    actions = {"env": set_up, "demo": demo, "browser": browser}
    if len(arguments) != 1 or arguments[0] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        actions[arguments[0]]()
    except SetupError as error:
        print(f"afgap: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("afgap: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
