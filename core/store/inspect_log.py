"""Reads the samples of a log that Inspect (inspect_ai) wrote, `.eval` or `.json`, without that package.

An `.eval` file is a zip of JSON files: `header.json`, and `samples/*.json`. What is read of them is in `LOG_FIELDS`.
"""

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from core.errors import ImportFileError
from core.scenario.message import Message, Role

LOG_FIELDS = (
    "eval.model", "eval.packages.inspect_ai", "eval.task_args", "eval.metadata", "samples[].id", "samples[].epoch",
    "samples[].input", "samples[].messages", "samples[].metadata", "samples[].attachments", "samples[].error.message",
    "samples[].output.model", "samples[].output.choices[0].message.content", "samples[].output.choices[0].stop_reason",
    "samples[].output.usage.input_tokens", "samples[].output.usage.output_tokens",
)  # fmt: skip
"""All that is read. Scores are not: judges here judge anew."""

SETTING = (
    "scenario", "condition", "factors", "scratchpad", "prefill", "suffix", "lab", "deployment", "request_id",
    "request_text", "request_set", "category", "cluster", "model",
)  # fmt: skip
"""Columns that a sample's metadata may give, else the task's metadata, else its arguments."""

STOP_REASONS = {"model_length": "length"}
"""Names of Inspect that no provider has."""

ZSTD = 93
"""Compression method of a zip that Python 3.11 does not know; Inspect has used it since 2025."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One sample as columns of an import."""

    place: str
    columns: Mapping[str, Any]
    messages: tuple[Message, ...]
    reasoning_text: str | None
    error: str | None


def inspect_rows(path: Path, data: bytes) -> Iterator[LogRow]:
    """The samples of a log, in its order. ImportFileError where the file is none, or its samples were not logged."""
    header, samples = _zipped(path, data) if zipfile.is_zipfile(io.BytesIO(data)) else _plain(path, data)
    if not isinstance(header.get("eval"), dict) or not isinstance(header["eval"].get("model"), str):
        raise ImportFileError(f"{path}: is no log of Inspect (it has no eval.model): give its .eval or .json log")
    if not samples:
        raise ImportFileError(f"{path}: the log has no samples: run the task again with log_samples=true")
    for sample in samples:
        yield _row(path, header["eval"], sample)


def _plain(path: Path, data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    log = _json(data, f"{path}")
    samples = log.get("samples")
    return log, samples if isinstance(samples, list) else []


def _zipped(path: Path, data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            if "header.json" not in infos:
                raise ImportFileError(f"{path}: has no header.json: it is no log of Inspect, or its task did not end")
            header = _json(_member(archive, data, infos["header.json"]), f"{path}: header.json")
            names = [name for name in infos if name.startswith("samples/") and name.endswith(".json")]
            return header, [_json(_member(archive, data, infos[name]), f"{path}: {name}") for name in names]
    except (zipfile.BadZipFile, OSError, EOFError, struct.error, NotImplementedError) as error:
        raise ImportFileError(f"{path}: can't be unpacked ({error}): copy the log anew") from None


def _member(archive: zipfile.ZipFile, data: bytes, info: zipfile.ZipInfo) -> bytes:
    """The bytes of one file of a zip."""
    if info.compress_type != ZSTD:
        return archive.read(info)
    import pyarrow  # 0.3 s, and only such logs need it

    # the local header: 30 bytes, of which two pairs are the lengths of the name and the extra field behind it
    name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
    start = info.header_offset + 30 + name + extra
    packed = data[start : start + info.compress_size]
    return bytes(pyarrow.decompress(packed, decompressed_size=info.file_size, codec="zstd", asbytes=True))


def _json(data: bytes, place: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImportFileError(f"{place}: is no JSON ({error}): copy the log anew") from None
    if not isinstance(found, dict):
        raise ImportFileError(f"{place}: is no log of Inspect: give its .eval or .json log")
    return found


def _row(path: Path, task: Mapping[str, Any], sample: Any) -> LogRow:
    given: Mapping[str, Any] = sample if isinstance(sample, dict) else {}
    place = f"{path}: sample {given.get('id')}, epoch {given.get('epoch')}"
    epoch = given.get("epoch")
    if given.get("id") is None or not isinstance(epoch, int) or epoch < 1:
        raise ImportFileError(f"{place}: a sample has no id or epoch: it is no log of Inspect")
    attachments = _mapping(given.get("attachments"))
    output = _mapping(given.get("output"))
    choices = output.get("choices")
    reply = _mapping(choices[0]) if isinstance(choices, list) and choices else None
    spoken = _mapping(reply.get("message")).get("content") if reply else None
    messages = _prompt(given, attachments, place)
    usage = _mapping(output.get("usage"))
    columns: dict[str, Any] = {
        "model": re.sub(r"[^A-Za-z0-9._-]", "-", str(task["model"])),
        "request_id": str(given["id"]),
        "request_text": next((each.text for each in reversed(messages) if each.role == "user"), None),
        **_setting(task, given),
        "repeat": epoch - 1,
        "served_model": output.get("model") or task["model"],
        "engine_version": f"inspect_ai {_mapping(task.get('packages')).get('inspect_ai', 'of unknown version')}",
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
    }
    error = _mapping(given.get("error")).get("message")
    if reply is None or error is not None:
        return LogRow(place, {**columns, "status": "failed"}, messages, None, str(error or "no reply in the log"))
    stop = str(reply.get("stop_reason") or "stop")
    columns |= {"raw_text": _texts(spoken, "text", attachments), "finish_reason": STOP_REASONS.get(stop, stop)}
    return LogRow(place, columns, messages, _texts(spoken, "reasoning", attachments) or None, None)


def _setting(task: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for source in (task.get("task_args"), task.get("metadata"), sample.get("metadata")):
        found |= {name: value for name, value in _mapping(source).items() if name in SETTING}
    return found


def _prompt(sample: Mapping[str, Any], attachments: Mapping[str, Any], place: str) -> tuple[Message, ...]:
    """What the model was sent: the messages before the last reply, else the sample's input."""
    given = sample.get("messages")
    if isinstance(given, list) and given and _mapping(given[-1]).get("role") == "assistant":
        given = given[:-1]
    else:
        given = sample.get("input")
    if isinstance(given, str):
        return (Message("user", _attached(given, attachments)),)
    messages = []
    for each in given if isinstance(given, list) else []:
        role = _mapping(each).get("role")
        if role not in get_args(Role):
            raise ImportFileError(
                f"{place}: a message has the role {role!r}: only {', '.join(get_args(Role))} can be imported: leave "
                "the sample out"
            )
        messages.append(Message(cast(Role, role), _texts(each.get("content"), "text", attachments)))
    return tuple(messages)


def _texts(content: Any, kind: str, attachments: Mapping[str, Any]) -> str:
    """The parts of a message's content of one kind (`text` or `reasoning`); a plain text is one of kind `text`."""
    if isinstance(content, str):
        return _attached(content, attachments) if kind == "text" else ""
    parts: Sequence[Any] = content if isinstance(content, list) else []
    own = (_mapping(part) for part in parts)
    return "\n".join(_attached(str(part.get(kind, "")), attachments) for part in own if part.get("type") == kind)


def _attached(text: str, attachments: Mapping[str, Any]) -> str:
    """Inspect moves long texts into the sample's attachments."""
    return str(attachments.get(text.removeprefix("attachment://"), text)) if text.startswith("attachment://") else text


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}
