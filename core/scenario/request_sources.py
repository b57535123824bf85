"""Where a request set is: bundled, a file of the user's, or a dataset of the hub, with the columns known for it."""

from pathlib import Path
from typing import NamedTuple

from core.errors import RequestSetError
from core.scenario.definition import FOLDER
from core.scenario.hub_dataset import HubFiles, cache_folder, hub_files
from core.scenario.known_sets import known_id, known_sets
from core.scenario.request_table import EXTENSIONS
from core.spec.request_sets import HUB_SOURCE, RequestsSpec

BUNDLED = FOLDER / "bundled"

UNKNOWN_CHARACTERS = 120
"""Length of a request in a plan where nobody knows it: about that of the sets that are known."""


class Found(NamedTuple):
    """A set that can be read."""

    name: str
    paths: tuple[Path, ...]
    spec: RequestsSpec
    """As given, with the columns and the file that are known for it."""
    notes: tuple[str, ...] = ()


class Absent(NamedTuple):
    """A hub dataset that is not at hand: it can be planned, not run."""

    name: str
    spec: RequestsSpec
    problem: str
    """Why, and where a local copy is looked for."""
    rows: int | None
    """How many it has; None: unknown."""
    characters: int
    """Length of a request, known or assumed."""


def find_set(spec: RequestsSpec, *, folder: Path, key: str, look_for_hub: bool = True) -> Found | Absent:
    """Where the rows of a set are. A relative path is looked for in `folder`, then in the current folder.

    RequestSetError, with key and fix, for a file, a bundled set or a known set that is not there.
    """
    kind, _, name = spec.source.partition(":")
    if kind == "hf":
        return _on_hub(spec, key=key, look=look_for_hub)
    if kind == "bundled":
        known = sorted(path.stem for path in BUNDLED.glob("*.jsonl"))
        if name not in known:
            raise RequestSetError(
                f"{key}: {spec.source!r} is no bundled set: choose from {', '.join(f'bundled:{n}' for n in known)}"
            )
        return Found(name, (BUNDLED / f"{name}.jsonl",), spec)
    return _in_file(spec, folder=folder, key=key)


def _in_file(spec: RequestsSpec, *, folder: Path, key: str) -> Found:
    source = spec.source
    if Path(source).suffix.lower() not in EXTENSIONS:
        raise RequestSetError(
            f"{key}: {source!r} has no known ending: give a {', '.join(EXTENSIONS)} file, bundled:… or hf:…"
        )
    places = dict.fromkeys((folder / source, Path(source)))
    for path in places:
        if path.is_file():
            return Found(path.stem, (path,), spec)
    looked = " and ".join(str(path.absolute()) for path in places)
    raise RequestSetError(f"{key}: {source!r} is no file (looked for {looked}): correct the path")


def _on_hub(spec: RequestsSpec, *, key: str, look: bool) -> Found | Absent:
    given = HUB_SOURCE.fullmatch(spec.source)
    assert given is not None  # RequestsSpec refuses every other text
    dataset, revision = given["dataset"], given["revision"]
    set_id = known_id(dataset, file=spec.file) if "/" in dataset else dataset
    known = known_sets().get(set_id) if set_id else None
    if known is None and "/" not in dataset:
        raise RequestSetError(
            f"{key}: {spec.source!r} is no known set: write hf:owner/name, or choose from "
            f"{', '.join(f'hf:{each}' for each in known_sets())}"
        )
    changes: dict[str, str | None] = {"text_column": spec.text_column or given["column"]}
    if known is not None:
        dataset, revision = known.dataset, revision or known.revision
        usual = {
            "file": known.file, "text_column": known.text, "id_column": known.id, "category_column": known.category,
        }  # fmt: skip
        changes = {name: changes.get(name) or getattr(spec, name) or value for name, value in usual.items()}
    full = spec.model_copy(update=changes)
    name = set_id or dataset.rpartition("/")[2]
    not_looked = HubFiles((), cache_folder(), "it was not looked for")
    files = hub_files(dataset, revision=revision, file=full.file, key=key) if look else not_looked
    if not files.paths:
        rows, characters = (known.rows, known.characters) if known else (None, None)
        problem = f"{key}: {spec.source!r} is not at hand: {_absence(files, full)}"
        return Absent(name, full, problem, rows, characters or UNKNOWN_CHARACTERS)
    floats = f"warning: {key}: {spec.source!r} names no revision: pin it as hf:{dataset}@{files.looked_in.name}"
    return Found(name, files.paths, full, () if revision else (floats,))


def _absence(files: HubFiles, spec: RequestsSpec) -> str:
    what = f"{spec.file} (or all its parts)" if spec.file else "its data files"
    return (
        f"{files.problem}; a local copy is looked for in {files.looked_in}: put {what} there, or let the hub be reached"
    )
