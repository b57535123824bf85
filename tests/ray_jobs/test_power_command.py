"""`afgap power` answers what is missing, in words and as JSON, and refuses what it can't answer."""

import json

import pytest

from ray_jobs.cli import main


def test_the_answer_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--requests", "200", "--models", "25"]) == 0
    said = capsys.readouterr().out
    assert "200 requests find a gap of 8.3 points with power 0.80" in said
    assert "impossible below 52" in said
    assert main(["power", "--gap", "0.05", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["requests"], facts["calls_per_model"], facts["method"]) == (199, 398, "exact")


def test_repeats_stand_beside_requests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--requests", "60", "--gap", "0.2", "--repeats", "3", "--reverse", "0.05"]) == 0
    said = capsys.readouterr().out
    assert "3 samples per request and condition, simulated" in said
    assert "with one sample each" in said


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "give one of requests and gap"),
        (["--gap", "2"], "--gap"),
        (["--gap", "0.9", "--reverse", "0.3"], "more than all requests"),
        (["--requests", "9", "--repeats", "5", "--reverse", "0.4"], "by chance"),
    ],
)
def test_what_has_no_answer_is_refused(asked: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", *asked]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
