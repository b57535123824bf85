"""A lane is everything that shares one server, key and model: its calls queue together. Pure."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core.errors import SpecError
from core.judge.vote_costs import most_draws
from core.plan.targets import engine_digest, normalised_url
from core.schedule.growth import FIRST_WINDOW, MOST_WINDOW
from core.schedule.limit_charges import LaneLimits, limits_of, smallest
from core.spec.limits import RatesSpec
from core.spec.model_entry import ModelSpec

LOCAL_CONCURRENCY = 256
"""Calls in flight per vLLM replica: as many as vLLM batches at once by default, so that its batch is never short."""

CALLS_PER_CLIENT = 128
"""Calls in flight that one client process serves at a provider's quickest, 0.2 s a reply: then it makes about 650 calls
a second and its processor is full (benchmarks/sweep_rate.py). More calls in flight get more clients."""

API_CONCURRENCY = FIRST_WINDOW
"""Where none is configured: what a lane starts with, and grows from while nothing is refused."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One queue and the actors that serve it."""

    name: str
    """Shown to people: the label of the first entry that uses it."""
    entry: ModelSpec
    """The entry whose engine is opened."""
    labels: tuple[str, ...]
    """Model labels whose calls go here."""
    riders: tuple[ModelSpec, ...]
    """All entries whose calls go here, this one too: each may put its calls in its own way, or ride with an adapter."""
    concurrency: int
    """Calls in flight per actor; on an API lane of all actors, to begin with: then the limiter says."""
    replicas: int
    """Actors that serve it: engines of a local model, clients of an API."""
    gpus_per_replica: int = 0
    limits: LaneLimits | None = None
    """What the cluster's limiter keeps to for this lane, or for its pool; None: a local engine has none."""
    pool: str | None = None
    """The pool whose limits these are; None: the lane's own."""
    own_concurrency: int | None = None
    """In a pool, what its entries allow themselves of the pool's concurrency."""

    @property
    def most_in_flight(self) -> int:
        """Calls that an actor may have in flight; on an API lane the limiter says how many of these."""
        return self.concurrency if self.limits is None else self.own_concurrency or MOST_WINDOW

    @property
    def draws_per_request(self) -> int:
        """Draws of one question that a request may ask for."""
        return min(most_draws(entry) for entry in self.riders)

    @property
    def caches_prompts(self) -> bool:
        """Its provider keeps long prompts for the calls that come next."""
        return self.entry.engine in ("openai", "anthropic")

    @property
    def most_at_first(self) -> int:
        """Calls that the lane has in flight, before a limiter says otherwise."""
        return self.concurrency * (self.replicas if self.limits is None else 1)

    @property
    def limits_name(self) -> str:
        """Under which people change the limits: the pool, or the lane."""
        return self.pool or self.name

    def with_changes(self, changes: Mapping[str, int | None]) -> LaneLimits | None:
        """The lane's limits with what was changed while it runs; None where it has none to change."""
        return None if self.limits is None else LaneLimits(**{**asdict(self.limits), **changes})

    @property
    def limit_place(self) -> tuple[str, str]:
        """Whose limits they are, but for the key: the server, and the pool or model."""
        return normalised_url(self.entry), f"pool {self.pool}" if self.pool else self.entry.model


def lanes_of(
    models: tuple[ModelSpec, ...],
    *,
    targets: dict[str, str],
    gpus: int,
    cpus: int = 1,
    pools: Mapping[str, RatesSpec] | None = None,
) -> tuple[Lane, ...]:
    """Group entries into lanes: vLLM by weights and engine arguments, APIs by address, key, model and pool. `gpus`,
    `cpus`: of the cluster; an API lane has at most as many clients as there are processors.
    """
    groups: dict[tuple[str, ...], list[ModelSpec]] = {}
    for model in models:
        groups.setdefault(_lane_key(model, target=targets[model.name]), []).append(model)
    local = sum(1 for group in groups.values() if group[0].engine == "vllm")
    return tuple(_lane(group, gpus=gpus, cpus=cpus, local_lanes=local, pools=pools or {}) for group in groups.values())


def _lane_key(model: ModelSpec, *, target: str) -> tuple[str, ...]:
    if model.engine == "vllm":
        return ("vllm", engine_digest(model))
    if model.engine == "scripted":
        return ("scripted", target)
    address = f"stand-in:{model.stand_in}" if model.stand_in and not model.base_url else normalised_url(model)
    return (model.engine, address, model.key_variable, model.model, model.limits.pool or "")


def _lane(group: list[ModelSpec], *, gpus: int, cpus: int, local_lanes: int, pools: Mapping[str, RatesSpec]) -> Lane:
    first = group[0]
    pool = first.limits.pool
    is_api = first.engine in ("openai", "anthropic")
    limits = [pools[pool]] if pool is not None else [model.limits for model in group]
    default = LOCAL_CONCURRENCY if first.engine in ("vllm", "scripted") else API_CONCURRENCY
    own = [model.limits.concurrency for model in group if model.limits.concurrency is not None]
    asked = own + [each.concurrency for each in limits if each.concurrency is not None]
    concurrency = min(asked) if asked else default  # the smallest configured limit wins
    per_replica = gpus_per_replica(first) if first.engine == "vllm" and gpus else 0
    replicas = max(1, min(math.ceil(concurrency / CALLS_PER_CLIENT), cpus)) if is_api else 1
    if first.engine == "vllm":
        room = max(1, gpus // (per_replica * local_lanes)) if per_replica else 1
        replicas = max(room if model.replicas == "auto" else model.replicas for model in group)
    return Lane(
        name=first.name,
        entry=first,
        labels=tuple(model.name for model in group),
        riders=tuple(group),
        concurrency=concurrency,
        replicas=replicas,
        gpus_per_replica=per_replica,
        limits=smallest(limits_of(each, engine=first.engine) for each in limits) if is_api else None,
        pool=pool,
        own_concurrency=min(own) if own and pool is not None else None,
    )


def limit_notes(lanes: tuple[Lane, ...]) -> list[str]:
    """The limits that API lanes keep to, one line each, for people."""
    notes = []
    for lane in lanes:
        if lane.limits is None:
            continue
        what = f"pool {lane.pool}, " if lane.pool else ""
        among = f" (the smallest of {', '.join(lane.labels)})" if len(lane.labels) > 1 and not lane.pool else ""
        notes.append(f"limits of {lane.name}: {what}{lane.limits.told()}{among}")
    return notes


def check_room(lanes: tuple[Lane, ...], *, cpus: int, gpus: int) -> None:
    """SpecError where the local engines need more than there is: the last of them would wait for ever."""
    local = [lane for lane in lanes if lane.entry.engine == "vllm"]
    names = ", ".join(lane.name for lane in local)
    for what, needed, there in (
        ("GPUs", sum(lane.replicas * lane.gpus_per_replica for lane in local), gpus),
        ("CPUs", sum(lane.replicas for lane in local), cpus),
    ):
        if needed > there:
            raise SpecError(
                f"models[].replicas: {names} need {needed} {what} at once and there are {there}: lower replicas or "
                "engine_args.tensor_parallel_size, or put fewer local models in one study"
            )


def gpus_per_replica(entry: ModelSpec) -> int:
    """GPUs that one replica takes: tensor parallel × pipeline parallel."""
    size = 1
    for argument in ("tensor_parallel_size", "pipeline_parallel_size"):
        value = entry.engine_args.get(argument, 1)
        size *= value if isinstance(value, int) and value > 0 else 1
    return size
