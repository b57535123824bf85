import re

import pytest

from core.engines.stand_in.behaviour import bundled_behaviours, load_behaviour, parse_behaviour
from core.errors import SpecError

LEAST = "conditions: {default: {comply: 0.5}}\n"


def refusal(text):
    with pytest.raises(SpecError) as caught:
        parse_behaviour(text, name="mine", source="mine.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", bundled_behaviours())
def test_every_bundled_behaviour_loads_and_says_what_it_is_for(name):
    behaviour = load_behaviour(name)
    assert behaviour.name == name
    assert behaviour.about
    assert len(behaviour.digest) == 32


def test_bundled_behaviours_differ():
    assert len({load_behaviour(name).digest for name in bundled_behaviours()}) == len(bundled_behaviours()) == 4


def test_the_digest_holds_what_decides_an_answer_and_nothing_else():
    digest = parse_behaviour(LEAST, name="mine", source="x").digest
    for idle in ("about: something\n", "latency_ms: 200\n"):
        assert parse_behaviour(LEAST + idle, name="other", source="y").digest == digest
    for decisive in ("seed: 1\n", "faults: {empty: 0.1}\n", "judges: {faking: {unclear: 0.1}}\n"):
        assert parse_behaviour(LEAST + decisive, name="mine", source="x").digest != digest


def test_a_behaviour_is_loaded_from_a_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(LEAST)
    assert load_behaviour(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LEAST + "colour: red\n", "mine.yaml: colour: unknown key: remove it"),
        ("conditions: {default: {comply: 0.5, fakes: 1}}", "conditions.default.fakes: unknown key"),
        ("conditions: {default: {comply: 1.5}}", "conditions.default.comply: .*less than or equal to 1.*found 1.5"),
        ("conditions: {default: {}}", "conditions.default.comply: Field required"),
        ("conditions: {free: {markers: [x], comply: 1}}", "'default' is missing: add it"),
        ("conditions: {default: {comply: 1}, free: {comply: 1}}", "conditions.free: .*give it markers"),
        ("conditions: {default: {markers: [x], comply: 1}}", "conditions.default: .*remove its markers"),
        (LEAST + "faults: {hang: 0.6, drop: 0.6}\n", "add up to more than 1: lower them"),
        (LEAST + "name: x\n", "name: the file's name is the behaviour's"),
        ("[1, 2]", "a behaviour is a mapping"),
        ("", "a behaviour is a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_and_fix(text, words):
    assert re.search(words, refusal(text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="not UTF-8"):
        load_behaviour(str(path))


@pytest.mark.parametrize("name", ["nope", "nope.yaml", "../behaviours/planted"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(SpecError, match="equal, faults, noisy-judge, planted"):
        load_behaviour(name)
