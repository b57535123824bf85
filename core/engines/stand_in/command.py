"""The stand-in server's command line.

Prints one JSON line (port, urls, digest, pid) once it listens; ends on SIGTERM, SIGINT, or when its parent is gone.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import psutil

from core.engines.stand_in.behaviour import Behaviour, load_behaviour
from core.engines.stand_in.rate_limit import METERS
from core.engines.stand_in.server import StandInOptions, StandInServer
from core.errors import InputError

PARENT_CHECK_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop. 0 after a stop, 2 for a wrong behaviour or a taken port."""
    options = _parser().parse_args(arguments)
    try:
        behaviour = load_behaviour(options.behaviour)
        asyncio.run(_serve(behaviour, options))
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"--port {options.port}: cannot listen there ({error.strerror}): choose another or 0\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    """Every field of `StandInOptions` has its flag; `start_stand_in` writes them."""
    parser = argparse.ArgumentParser(
        prog="python -m core.engines.stand_in",
        description="A local server that answers the OpenAI and Anthropic APIs with scripted, simulated replies.",
    )
    parser.add_argument("--behaviour", required=True, help="bundled name or path of a behaviour file")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0: any free one")
    parser.add_argument("--port-file", type=Path, help="file that gets the port's number once the server listens")
    parser.add_argument("--rpm", type=_positive, help="requests per minute; more are answered 429")
    parser.add_argument("--tpm", type=_positive, help="tokens per minute: each prompt and its max_tokens")
    parser.add_argument("--input-tpm", type=_positive, help="prompt tokens per minute, without those read from a cache")
    parser.add_argument("--output-tpm", type=_positive, help="reply tokens per minute, counted when written")
    parser.add_argument("--limit-kind", choices=sorted(METERS), default="bucket", help="how the limits count")
    parser.add_argument("--halve-after-s", type=float, help="halve all limits so long after the first request")
    parser.add_argument(
        "--no-limit-headers", dest="limit_headers", action="store_false", help="do not tell of the limits in headers"
    )
    parser.add_argument("--latency-ms", type=float, help="in place of the behaviour's latency")
    parser.add_argument("--accept-key", help="the one key that is accepted; others are answered 401")
    parser.add_argument("--busy-s", type=float, help="answer 429 to all for so long, and ask for that time")
    parser.add_argument("--most-choices", type=_positive, help="give a request for more choices so many")
    parser.add_argument(
        "--no-attempt-faults", dest="attempt_faults", action="store_false", help="play no fault that a retry gets past"
    )
    parser.add_argument("--parent-pid", type=int, help="end when the process of this id is gone")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


async def _serve(behaviour: Behaviour, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    extras = StandInOptions(**{each.name: getattr(options, each.name) for each in fields(StandInOptions)})
    async with StandInServer(behaviour, extras, port=options.port) as server, asyncio.TaskGroup() as tasks:
        _announce(server, options.port_file)
        watch = tasks.create_task(_watch_parent(options.parent_pid, stop))
        await stop.wait()
        watch.cancel()


def _announce(server: StandInServer, port_file: Path | None) -> None:
    if port_file is not None:
        fresh = port_file.with_name(f"{port_file.name}.{os.getpid()}")
        fresh.write_text(str(server.port), encoding="utf-8")
        fresh.replace(port_file)
    facts = {
        "port": server.port,
        "openai_url": server.openai_url,
        "anthropic_url": server.anthropic_url,
        "digest": server.behaviour.digest,
        "pid": os.getpid(),
    }
    with contextlib.suppress(BrokenPipeError):  # whoever started us need not read it
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


async def _watch_parent(pid: int | None, stop: asyncio.Event) -> None:
    """Set `stop` once the process is gone; a process of the same id that began later is not the parent."""
    if pid is None:
        return
    try:
        parent = psutil.Process(pid)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(PARENT_CHECK_S)
    except psutil.NoSuchProcess:
        pass
    stop.set()
