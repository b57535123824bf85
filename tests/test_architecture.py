"""The habits that hold the tree together, each with a gate: layers, import rules, names, sizes, docs that stay true."""

import ast
import importlib
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "tracking", "ray_jobs")
STAGES = ("spec", "scenario", "judge", "plan", "schedule", "engines", "store", "analyse")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
STUDIES = sorted((ROOT / "ray_jobs" / "studies").glob("*.yaml"))

# A package that is to be replaceable, or that is slow to import, and the one place that knows it.
KNOWN_BY = {
    "ray": "ray_jobs/",
    "mlflow": "tracking/mlflow_sink.py",
    "vllm": "core/engines/vllm_engine.py",
    "deltalake": "core/store/delta.py",
    "openai": "core/engines/openai_engine.py",
    "anthropic": "core/engines/anthropic_engine.py",
}

# Names that say nothing: what lies there has a stage, or its name is not finished.
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "manager", "managers", "types", "lib"}

# A path that only one machine has: someone's home, or a workplace's own folders.
MACHINE_PATH = re.compile(
    rb"(?<![\w.$}/])/(?:home|Users)/[a-z]\w*/|(?<![\w.$}/])/(?:root|work|opt/wheels|opt/pypi)\b/?"
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_modules(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere in it, by statement or by name."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: imports are absolute"
            # `from core import plan` imports core.plan: every name counts, a class as well as a module.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def stage_rank(dotted: str) -> int:
    """Place in the order spec → … → analyse → tracking → ray_jobs; -1 for what every stage may use (core.errors)."""
    first, second = (*dotted.split("."), "")[:2]
    if first != "core":
        return len(STAGES) + PACKAGES.index(first)
    return STAGES.index(second) if second in STAGES else -1


def test_every_file_imports_from_its_own_stage_or_an_earlier_one() -> None:
    backwards = [
        f"{relative(path)} imports {name}"
        for path in SOURCES
        for name in imported_modules(path)
        if name.split(".")[0] in PACKAGES and stage_rank(name) > stage_rank(".".join(path.relative_to(ROOT).parts))
    ]
    assert not backwards


def test_core_holds_the_stages_and_nothing_beside_them_but_plain_modules() -> None:
    folders = {path.name for path in (ROOT / "core").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == set(STAGES)


@pytest.mark.parametrize("package", KNOWN_BY)
def test_a_package_is_imported_in_its_one_place_only(package: str) -> None:
    place = KNOWN_BY[package]
    elsewhere = [
        relative(path)
        for path in SOURCES
        if package in {name.split(".")[0] for name in imported_modules(path)} and not relative(path).startswith(place)
    ]
    assert not elsewhere, f"{package} belongs to {place}"


def test_importing_the_schema_of_a_study_loads_nothing_heavy() -> None:
    heavy = ("ray", "vllm", "torch", "pandas", "mlflow", "polars")
    program = f"import sys, core.spec.study; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def exception_classes() -> list[tuple[str, str]]:
    """Module and name of each exception class of ours: by the name of a base, and of our own ones found so."""
    ours: dict[str, str] = {}
    classes = [(path, node) for path in SOURCES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef)]
    found_more = True
    while found_more:
        found_more = False
        for path, node in classes:
            bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
            if node.name not in ours and any(base in ours or base.endswith(("Error", "Exception")) for base in bases):
                ours[node.name] = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found_more = True
    return [(module, name) for name, module in sorted(ours.items())]


@pytest.mark.parametrize(("module", "name"), exception_classes())
def test_an_exception_survives_pickling_with_its_notes(module: str, name: str) -> None:
    # Ray pickles what an actor raises; one that can't be read back hides the real error.
    error = getattr(importlib.import_module(module), name)("what happened")
    error.add_note("trial=7f3a")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__notes__) == (type(error), "what happened", ["trial=7f3a"])


def file_lengths() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        yield relative(path), len(path.read_text(encoding="utf-8").splitlines())


def function_lengths() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(parse(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                yield f"{relative(path)}:{node.name}", node.end_lineno - node.lineno + 1


def test_files_and_functions_stay_small(request: pytest.FixtureRequest) -> None:
    files, functions = list(file_lengths()), list(function_lengths())
    long = [each for each in files if each[1] > 350] + [each for each in functions if each[1] > 60]
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for where, lines in long if terminal else ():
        terminal.write_line(f"getting long: {where}, {lines} lines")
    assert not [each for each in files if each[1] > 500]
    assert not [each for each in functions if each[1] > 100]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_is_named_for_what_it_holds(path: Path) -> None:
    names = {PurePosixPath(part).stem for part in path.relative_to(ROOT).parts} - {"__init__", "__main__"}
    assert not names & EMPTY_NAMES
    # Beside a script, a module of the standard library's name is imported in its place.
    assert not names & set(sys.stdlib_module_names)
    assert not names & set(KNOWN_BY)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_opens_with_its_promise(path: Path) -> None:
    assert ast.get_docstring(parse(path)), "say in one to six lines what holds"


def test_the_packages_resolve_inside_this_repository() -> None:
    # `core` is a common name: a stray one among the installed packages would win over ours in a console script.
    program = f"import importlib; print([importlib.import_module(name).__file__ for name in {PACKAGES}])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([str(ROOT / name / "__init__.py") for name in PACKAGES])


def test_tests_are_not_packages() -> None:
    # tests/core/__init__.py would make pytest import the tests as `core`.
    assert not list((ROOT / "tests").rglob("__init__.py"))


def file_map() -> list[str]:
    """Paths named in the README: the first word of each line of the block under the heading `File map`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## File map\n.*?^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block, "README.md needs a heading `## File map` with a fenced block of `path  — what it holds` lines"
    return [line.split()[0] for line in block.group(1).splitlines() if line.strip()]


def test_every_path_in_the_readme_map_exists() -> None:
    missing = [path for path in file_map() if not (ROOT / path).exists()]
    assert not missing
    assert not [path for path in file_map() if (ROOT / path).is_dir() and not path.endswith("/")]


def test_every_module_is_in_the_readme_map() -> None:
    unnamed = {relative(path) for path in SOURCES if path.name != "__init__.py"} - set(file_map())
    assert not unnamed


def test_there_are_ready_made_studies() -> None:
    assert {"quickstart.yaml", "stand-in.yaml"} <= {path.name for path in STUDIES}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_ready_made_study_loads(path: Path) -> None:
    from core.spec.load import load_study

    assert load_study(path).study


def test_no_file_names_a_path_of_one_machine() -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    assert files
    found = [
        f"{relative(path)}: {match.group().decode()}"
        for path in files
        for match in [MACHINE_PATH.search(path.read_bytes())]
        if match
    ]
    assert not found
