"""Files of a dataset of the Hugging Face hub: its local copy in the hub's cache layout, else fetched into it.

The one file that imports huggingface_hub. The package is optional (vLLM brings it): a copy is read without it.
"""

import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from core.errors import RequestSetError
from core.scenario.request_table import EXTENSIONS

HUB_TIMEOUT_S = 5.0
"""How long the hub may take to say which files a dataset has: a plan promises an answer in seconds."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})(?=\.)")
_TRAIN = re.compile(r"(^|[/_.-])train([/_.-]|$)")


class HubFiles(NamedTuple):
    """What was found of a dataset."""

    paths: tuple[Path, ...]
    """Its data files in order; empty: it is not at hand."""
    looked_in: Path
    """Folder where the files of a local copy are looked for."""
    problem: str = ""
    """Why it is not at hand."""


def hub_files(dataset: str, *, revision: str | None, file: str | None, key: str) -> HubFiles:
    """The data files of a dataset at a revision (null: main). RequestSetError where several could be meant."""
    folder = cache_folder() / f"datasets--{dataset.replace('/', '--')}"
    copy = _snapshot(folder, revision)
    names = [path.relative_to(copy).as_posix() for path in sorted(copy.rglob("*")) if path.is_file()]
    chosen = choose_files(names, wanted=file, key=key)
    if chosen:
        return HubFiles(tuple(copy / name for name in chosen), copy)
    return _fetch(dataset, revision=revision, file=file, key=key, looked_in=copy)


def cache_folder() -> Path:
    """The hub's cache: $HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub, as huggingface_hub has it."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME")
    if home is None:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser() / "hub"


def choose_files(names: Iterable[str], *, wanted: str | None, key: str) -> tuple[str, ...]:
    """The data files of a request set among a dataset's files, in order; () where they are not (all) there.

    `wanted`, else the one data file, else the files of split train: one, or all parts of one. RequestSetError where
    several could be meant.
    """
    data = sorted(name for name in names if Path(name).suffix.lower() in EXTENSIONS)
    if wanted is not None:
        data = [name for name in data if fnmatchcase(name, wanted)]
    elif len(data) > 1 and len(_wholes(data)) > 1:
        train = [name for name in data if _TRAIN.search(name)]
        data = train or data
    wholes = _wholes(data)
    if len(wholes) > 1:
        shown = ", ".join(sorted(wholes)[:6])
        raise RequestSetError(f"{key}: the dataset has several data files ({shown}): name one in `file` beside source")
    parts = next(iter(wholes.values()), [])
    planned = _SHARD.search(parts[0]) if parts else None
    return tuple(parts) if planned is None or len(parts) == int(planned[2]) else ()


def _wholes(names: Iterable[str]) -> dict[str, list[str]]:
    """What files are parts of → the parts in order; a file that is no part is whole by itself."""
    wholes: dict[str, list[str]] = {}
    for name in names:
        wholes.setdefault(_SHARD.sub(r"-*-of-\2", name), []).append(name)
    return wholes


def _snapshot(folder: Path, revision: str | None) -> Path:
    """The folder of a revision in the cache, whether it is there or not."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return folder / "snapshots" / revision
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""
    return folder / "snapshots" / (commit if _COMMIT.fullmatch(commit) else revision or "main")


def _fetch(dataset: str, *, revision: str | None, file: str | None, key: str, looked_in: Path) -> HubFiles:
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError:
        return HubFiles((), looked_in, "the package huggingface_hub, which would fetch it, is not installed")
    cache = cache_folder()
    try:
        info = HfApi().dataset_info(dataset, revision=revision, timeout=HUB_TIMEOUT_S)
        names = choose_files([each.rfilename for each in info.siblings or ()], wanted=file, key=key)
        paths = [
            hf_hub_download(dataset, name, repo_type="dataset", revision=revision, cache_dir=cache) for name in names
        ]
    except RequestSetError:
        raise
    except Exception as error:  # noqa: BLE001 - no network, no such name, gated, a full disk: it is not at hand
        return HubFiles((), looked_in, f"the hub gave nothing: {_first_line(error)}")
    if not paths:
        return HubFiles((), looked_in, f"the dataset has no {'such data file' if file else 'data file'} on the hub")
    return HubFiles(tuple(Path(path) for path in paths), Path(paths[0]).parent)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
