"""Ray itself: a local instance of one's own, or a cluster that is there. Leaves no process and no file behind."""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

from core.errors import InputError

SCRATCH_PREFIX = "afgap-ray-"


@dataclass(frozen=True, slots=True)
class RaySession:
    """A connected Ray."""

    scratch: str | None
    """Temporary folder of a local Ray; None on a cluster."""
    gpus: int


@contextlib.contextmanager
def ray_session(address: str | None, *, least_cpus: int = 1) -> Iterator[RaySession]:
    """Connect to `address`, or start a local Ray (None) that ends with this block.

    InputError where no cluster answers at the address.
    """
    scratch: str | None = None
    if address is None:
        # the folder's path goes into names of sockets, which may have 107 characters
        scratch = tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir="/tmp" if os.path.isdir("/tmp") else None)
        os.environ.setdefault("VLLM_RPC_BASE_PATH", scratch)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        if scratch is None:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(f"--address {address}: no Ray cluster answers there: {error}") from None
        else:
            ray.init(
                address="local",  # a stale file of an earlier cluster must not be found
                num_cpus=max(os.cpu_count() or 1, least_cpus),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=scratch,
            )
        for each, handler in handlers.items():
            signal.signal(each, handler)  # Ray puts its own SIGTERM handler in place
        resources: dict[str, float] = ray.cluster_resources()
        yield RaySession(scratch, gpus=int(resources.get("GPU", 0)))
    finally:
        ray.shutdown()
        if scratch is not None:
            os.environ.pop("VLLM_RPC_BASE_PATH", None)
            shutil.rmtree(scratch, ignore_errors=True)


def remove_scratch(folder: str | None) -> None:
    """Remove the temporary folder of a run that was killed; anything that is not such a folder is left alone."""
    if folder is not None and Path(folder).name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
