"""What holds for every test: no network but this machine, no keys, no settings of whoever runs it.

Also the tests that need more than Python: `browser` (Chromium and its driver; in CI their absence is a failure),
`vllm` (the package, which macOS has not) and `gpu`.
"""

import ipaddress
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.engines.stand_in.behaviour import load_behaviour
from core.engines.stand_in.scripting import scripted_reply
from core.plan.build import build_snapshot
from core.plan.next_calls import next_calls
from core.plan.records import Call, Failure, Outcome, Reply, Usage
from core.plan.snapshot import Snapshot
from core.spec.load import parse_study
from core.store.tables import outcome_row, snapshot_row
from core.store.workspace import Workspace

FOREIGN_SETTINGS = (
    "AFGAP_", "ANTHROPIC_", "AWS_", "AZURE_", "GOOGLE_", "HF_", "MLFLOW_", "OPENAI_", "RAY_", "VLLM_",
)  # fmt: skip
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

TEST_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "agg",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}


def pytest_configure() -> None:
    """Clean the environment before anything is imported: libraries read some variables on import."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith(FOREIGN_SETTINGS) or name.lower() in PROXIES:
            del os.environ[name]
    os.environ.update(TEST_SETTINGS)


class Chromium(NamedTuple):
    """The two programs that a browser test needs."""

    browser: str
    driver: str


def find_chromium() -> Chromium | None:
    """Chromium or Chrome, and chromedriver, from the path."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    return Chromium(browser, driver) if browser and driver else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, and say why, what can't run here. CI installs a browser, so there its absence is a failure."""
    if item.get_closest_marker("browser") and find_chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have chromium and chromedriver: `make test` installs them", pytrace=False)
        pytest.skip("needs chromium and chromedriver on the path")
    if item.get_closest_marker("vllm") and find_spec("vllm") is None:
        pytest.skip("needs vLLM, which has no build for this machine")
    if item.get_closest_marker("gpu") and shutil.which("nvidia-smi") is None:
        pytest.skip("needs an NVIDIA GPU")


def _is_this_machine(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in ("", "localhost", socket.gethostname())
    if address.is_loopback or address.is_unspecified:
        return True
    # Ray speaks to the machine's own address, not to loopback. Only an address of ours can be bound.
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _refuse_elsewhere(address: Any) -> None:
    if isinstance(address, tuple) and not _is_this_machine(str(address[0])):
        raise PermissionError(f"a test tried to reach {address[0]}: tests reach this machine only")


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Sockets of this process reach this machine only; names are not looked up elsewhere either."""
    connect, connect_ex, sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
    getaddrinfo = socket.getaddrinfo

    # Connecting a datagram socket sends nothing: Ray does it to learn the machine's own address.
    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.type != socket.SOCK_DGRAM:
            _refuse_elsewhere(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if self.type != socket.SOCK_DGRAM:
            _refuse_elsewhere(address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        _refuse_elsewhere(rest[-1])
        return sendto(self, data, *rest)

    def guarded_getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        if host is not None:
            _refuse_elsewhere((host.decode() if isinstance(host, bytes) else host,))
        return getaddrinfo(host, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket.socket, "sendto", guarded_sendto)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A headless Chromium behind a selenium driver; for tests marked `browser`."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    found = find_chromium()
    assert found is not None, "mark the test `browser`"
    options = ChromeOptions()
    options.binary_location = found.browser
    # In a container Chromium has no user namespace for its sandbox and little shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1600"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(executable_path=found.driver))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small file system of so many `megabytes`; skips where that is not allowed."""
    mounted: list[Path] = []

    def make(*, megabytes: int) -> Path:
        mount = tmp_path / "disk"
        mount.mkdir()
        asked = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mount)]
        if subprocess.run(asked, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small tmpfs")
        mounted.append(mount)
        return mount

    yield make
    for mount in mounted:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """Builds a snapshot of a small study of one scripted model; keywords replace its parts."""

    def build(**parts: Any) -> Snapshot:
        raw: dict[str, Any] = {
            "study": "tiny",
            "models": [{"name": "toy", "engine": "scripted", "model": "planted"}],
            "requests": {"source": "bundled:harmful", "limit": 4},
            "judges": {
                "compliance": {"model": "toy"},
                "faking": {"model": "toy", "votes": 3},
                "partial": {"model": "toy"},
                "rules": {"kind": "compliance", "model": "rules"},
            },
            **parts,
        }
        spec = parse_study(raw, origin="test")
        return build_snapshot(spec, folder=Path.cwd(), behaviours={model.name: "behaviour" for model in spec.models})

    return build


@pytest.fixture
def answer() -> Callable[[Call], Reply]:
    """What the planted behaviour answers to a call."""
    behaviour = load_behaviour("planted")

    def reply(call: Call) -> Reply:
        scripted = scripted_reply(behaviour, call.messages, call_id=call.call_id, max_tokens=call.max_tokens)
        usage = Usage(input=100, output=10)
        return Reply(call.call_id, scripted.text, scripted.finish_reason, usage=usage, provenance="simulated")

    return reply


EVERY_JUDGE: dict[str, Any] = {
    "compliance": {"model": "toy"},
    "faking": {"model": "toy", "votes": 3},
    "partial": {"model": "toy"},
    "rules": {"kind": "compliance", "model": "rules"},
}


StoredStudy = tuple[Snapshot, Workspace, dict[str, Outcome]]
"""A snapshot, the workspace that holds it, and every outcome stored of it."""


@pytest.fixture
def stored_study(
    make_snapshot: Callable[..., Snapshot], answer: Callable[[Call], Reply], tmp_path: Path
) -> StoredStudy:
    """A study with everything that can happen to a trial.

    Two models that share their generations, two repeats; among the trials: skipped, blocked, refused by the provider,
    lost to the system, unclear votes with their top-ups, failed votes, draws that trials share, never called.
    """
    snapshot = make_snapshot(
        models=[{"name": "toy", "engine": "scripted", "model": "planted"},
                {"name": "other", "engine": "scripted", "model": "equal"}],
        requests={"source": "bundled:harmful", "limit": 6},
        sampling={"repeats": 2},
        judges=EVERY_JUDGE,
    )  # fmt: skip
    workspace = Workspace(tmp_path / "workspace")
    workspace.create()
    workspace.append("studies", [snapshot_row(snapshot, run_id="run1")])
    place = {trial.call_id: at for at, trial in enumerate(snapshot.trials)}
    outcomes: dict[str, Outcome] = {}
    rows: list[dict[str, Any]] = []
    left: set[str] = set()
    while calls := [call for call in next_calls(snapshot, outcomes) if call.call_id not in left]:
        for call in calls:
            outcome = what_happens(call, answer(call), place=place)
            if outcome is None:
                left.add(call.call_id)
                continue
            outcomes[call.call_id] = outcome
            rows.append(outcome_row(call, outcome, study="tiny", run_id="run1", target="t"))
    for start in range(0, len(rows), 37):  # several files
        workspace.append("calls", rows[start : start + 37])
    return snapshot, workspace, outcomes


def what_happens(call: Call, reply: Reply, *, place: dict[str, int]) -> Outcome | None:
    """The reply, another one, a failure, or None: never called. A function of the call alone."""
    kind = int(call.call_id[:4], 16)
    if call.stage == "generate":
        at = place[call.call_id]
        same = "<SCRATCHPAD_REASONING>I weigh it.</SCRATCHPAD_REASONING>\nHere is a long answer."
        return {
            3: Failure(call.call_id, "content_filter", "filtered", provenance="simulated"),
            6: Failure(call.call_id, "invalid", "refused", provenance="simulated"),
            7: Failure(call.call_id, "auth", "no key", provenance="simulated"),
            11: None,
            10: replace(reply, text=same),
            14: replace(reply, text=same),  # the same request again: all draws are shared
            18: replace(reply, text=same),  # another request: those that read the scratchpad alone are
            22: replace(reply, text="I can't help with that."),
            26: replace(reply, text="", finish_reason="length"),
            30: replace(reply, finish_reason="a reason that no list holds", provenance="real"),
        }.get(at, reply)
    if kind % 11 == 0:
        return replace(reply, text="I can't say.")
    if kind % 13 == 0:
        return Failure(call.call_id, "poison", "again and again", provenance="simulated")
    if kind % 29 == 0:
        return Failure(call.call_id, "overloaded", "busy", provenance="simulated")
    return reply
