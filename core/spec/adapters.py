"""Where a LoRA adapter is and what identifies it, and which chat template a file holds; nothing is loaded."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import SpecError
from core.identity import fingerprint, text_digest
from core.spec.weights import file_digest

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for `max_lora_rank`."""

HUB_RANK = 64
"""Assumed of an adapter on the hub, whose files are not at hand."""

_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as a study names it."""

    source: str
    folder: Path | None
    """None for a hub id."""
    identity: str
    """Digest of its files, or its hub id."""
    rank: int
    """Of its matrices; `HUB_RANK` for a hub id."""
    is_pinned: bool


def locate_adapter(source: str) -> Adapter:
    """Find what `models[].adapter` names. SpecError for a folder that holds no adapter."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if source.startswith((".", "/", "~")):
            raise SpecError(
                f"models[].adapter: {source!r} is no folder: give a folder with adapter_config.json, or a hub id"
            )
        return Adapter(source, None, f"hub:{source}", HUB_RANK, is_pinned="@" in source)
    config, weights = folder / "adapter_config.json", [folder / name for name in _WEIGHTS if (folder / name).is_file()]
    if not config.is_file() or not weights:
        raise SpecError(
            f"models[].adapter: {folder} holds no adapter: it needs adapter_config.json and adapter_model.safetensors"
        )
    digest = fingerprint([[path.name, file_digest(path)] for path in (config, *weights)])
    return Adapter(source, folder.resolve(), f"path:{digest}", _rank(config), is_pinned=True)


def rank_for(adapters: Iterable[Adapter]) -> int:
    """The smallest `max_lora_rank` that holds all of them. SpecError where vLLM has none that is large enough."""
    needed = max(adapter.rank for adapter in adapters)
    fitting = [rank for rank in RANKS if rank >= needed]
    if not fitting:
        raise SpecError(f"models[].adapter: rank {needed} is above vLLM's largest, {RANKS[-1]}: use another adapter")
    return fitting[0]


def read_template(path: str) -> str:
    """The text of a chat template. SpecError where it can't be read."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SpecError(
            f"models[].chat_template: {path} can't be read ({reason}): name a Jinja file, or none for a raw prompt"
        ) from None


def template_digest(path: str) -> str:
    """Digest of a chat template's text. SpecError where it can't be read."""
    return text_digest(read_template(path))


def _rank(config: Path) -> int:
    try:
        rank = json.loads(config.read_text(encoding="utf-8"))["r"]
    except (ValueError, TypeError, KeyError):
        rank = None
    if not isinstance(rank, int) or rank < 1:
        raise SpecError(f"models[].adapter: {config} states no rank `r`: restore the adapter's own file")
    return rank
