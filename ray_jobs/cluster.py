"""Ray itself: a local instance of one's own, or a cluster that is there. Leaves no process and no file behind."""

import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

from core.errors import InputError
from ray_jobs.caretaker import MARK, caretaker, clear_away

SCRATCH_PREFIX = "afgap-ray-"

CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class RaySession:
    """A connected Ray."""

    scratch: str | None
    """Temporary folder of a local Ray; None on a cluster."""
    cpus: int
    gpus: int


@contextlib.contextmanager
def ray_session(address: str | None, *, least_cpus: int = 1) -> Iterator[RaySession]:
    """Connect to `address`, or start a local Ray (None) that ends with this block.

    InputError where no cluster answers at the address.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(_scratch_folder()) if address is None else None
        handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
        for each, handler in handlers.items():
            stack.callback(signal.signal, each, handler)
        stack.callback(ray.shutdown)
        if address is not None:
            _check_address(address)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"--address {address}: no Ray cluster answers there ({error}): start it, mend the address, or "
                    "leave --address out for a local Ray"
                ) from None
        else:
            ray.init(
                address="local",  # a stale file of an earlier cluster must not be found
                num_cpus=max(os.cpu_count() or 1, least_cpus),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=scratch,
            )
        # Ray puts its own handler of SIGTERM in place; a stop while engines load must clear away as Ctrl-C does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, handlers[signal.SIGINT])
        resources: dict[str, float] = ray.cluster_resources()
        yield RaySession(scratch, cpus=int(resources.get("CPU", 0)), gpus=int(resources.get("GPU", 0)))


@contextlib.contextmanager
def _scratch_folder() -> Iterator[str]:
    """A folder for a local Ray, which a caretaker removes with every process that knows of it."""
    # the folder's path goes into names of sockets, which may have 107 characters
    folder = tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir="/tmp" if os.path.isdir("/tmp") else None)
    with caretaker(folder):
        os.environ[MARK] = folder
        os.environ.setdefault("VLLM_RPC_BASE_PATH", folder)
        try:
            yield folder
        finally:
            os.environ.pop(MARK, None)
            if os.environ.get("VLLM_RPC_BASE_PATH") == folder:
                del os.environ["VLLM_RPC_BASE_PATH"]


def _check_address(address: str) -> None:
    """InputError where nothing listens: Ray itself would try for a minute and then end this process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # `auto`, which Ray looks up in a file
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({error}): start it, mend the address, or leave "
            "--address out for a local Ray"
        ) from None


def remove_scratch(folder: str | None) -> None:
    """Clear away after a run that was killed with its caretaker; a folder of another name is left alone."""
    if folder is not None and Path(folder).name.startswith(SCRATCH_PREFIX):
        clear_away(folder)
