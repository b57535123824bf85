"""The stand-in server as a process."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import fields
from pathlib import Path

import pytest

from core.engines.stand_in.behaviour import load_behaviour
from core.engines.stand_in.process import counts_at, start_stand_in
from core.engines.stand_in.server import StandInOptions
from core.errors import SpecError

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "core.engines.stand_in"]


def test_it_answers_until_it_is_stopped():
    with start_stand_in("planted", StandInOptions(rpm=600, latency_ms=0.0, accept_key="k")) as server:
        assert server.digest == load_behaviour("planted").digest
        with urllib.request.urlopen(f"{server.openai_url}/models") as answer:
            assert json.load(answer)["data"][0]["id"] == "planted"
    assert server.process.returncode == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{server.openai_url}/models")


def test_every_option_reaches_the_process_and_its_counts_come_back():
    options = StandInOptions(
        rpm=600, tpm=9000, input_tpm=8000, output_tpm=7000, limit_kind="sliding", halve_after_s=9.0,
        limit_headers=False, latency_ms=0.0, accept_key="k", busy_s=1.0, most_choices=8, attempt_faults=False,
    )  # fmt: skip
    assert all(getattr(options, each.name) != each.default for each in fields(options))
    with start_stand_in("planted", options) as server:
        counts = counts_at(server.port)
    assert (counts["total"], counts["by_second"]) == (0, [])  # by second: of a limited server only


def test_it_takes_a_behaviour_file_from_where_we_are(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("conditions: {default: {comply: 1}}")
    monkeypatch.chdir(tmp_path)
    with start_stand_in("mine.yaml") as server:
        assert server.digest == load_behaviour("mine.yaml").digest


def test_a_wrong_behaviour_is_refused_in_one_line():
    with pytest.raises(SpecError, match="'nope': neither bundled"):
        start_stand_in("nope")


def test_a_taken_port_is_refused():
    with start_stand_in("planted") as server, pytest.raises(SpecError, match=f"--port {server.port}: cannot listen"):
        start_stand_in("planted", port=server.port)


def test_it_ends_when_its_parent_is_gone(tmp_path):
    # A process that starts the server in the background, tells its port and ends.
    parent = "import subprocess, sys, os; subprocess.Popen([*sys.argv[1:], '--parent-pid', str(os.getpid())])"
    port_file = tmp_path / "port"
    arguments = [*COMMAND, "--behaviour", "planted", "--port-file", str(port_file)]
    # The server holds our pipe open: the run ends when it has ended, too.
    done = subprocess.run(
        [sys.executable, "-c", parent, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    facts = json.loads(done.stdout)
    assert port_file.read_text() == str(facts["port"])
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(facts["openai_url"] + "/models")


def test_the_command_explains_itself():
    said = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for option in ("--behaviour", "--port", "--port-file", "--rpm", "--latency-ms", "--accept-key", "--parent-pid"):
        assert option in said
