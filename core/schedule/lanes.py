"""A lane is everything that shares one server, key and model: its calls queue together. Pure."""

from dataclasses import dataclass

from core.errors import SpecError
from core.plan.targets import normalised_url
from core.spec.study import ModelSpec

LOCAL_CONCURRENCY = 256
"""Calls in flight per vLLM replica: as many as vLLM batches at once by default, so that its batch is never short."""

API_CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class Lane:
    """One queue and the actors that serve it."""

    name: str
    """Shown to people: the label of the first entry that uses it."""
    entry: ModelSpec
    """The entry whose engine is opened."""
    labels: tuple[str, ...]
    """Model labels whose calls go here."""
    concurrency: int
    """Calls in flight per actor."""
    replicas: int
    """Actors that serve it."""
    gpus_per_replica: int = 0


def lanes_of(models: tuple[ModelSpec, ...], *, targets: dict[str, str], gpus: int) -> tuple[Lane, ...]:
    """Group entries into lanes: vLLM by target, APIs by address, key variable and model. `gpus`: of the cluster."""
    groups: dict[tuple[str, ...], list[ModelSpec]] = {}
    for model in models:
        groups.setdefault(_lane_key(model, target=targets[model.name]), []).append(model)
    local = sum(1 for group in groups.values() if group[0].engine == "vllm")
    return tuple(_lane(group, gpus=gpus, local_lanes=local) for group in groups.values())


def _lane_key(model: ModelSpec, *, target: str) -> tuple[str, ...]:
    if model.engine in ("vllm", "scripted"):
        return (model.engine, target)
    address = f"stand-in:{model.stand_in}" if model.stand_in and not model.base_url else normalised_url(model)
    return (model.engine, address, model.key_variable, model.model)


def _lane(group: list[ModelSpec], *, gpus: int, local_lanes: int) -> Lane:
    first = group[0]
    default = LOCAL_CONCURRENCY if first.engine in ("vllm", "scripted") else API_CONCURRENCY
    asked = [model.limits.concurrency for model in group if model.limits.concurrency is not None]
    per_replica = gpus_per_replica(first) if first.engine == "vllm" and gpus else 0
    replicas = 1
    if first.engine == "vllm":
        room = max(1, gpus // (per_replica * local_lanes)) if per_replica else 1
        replicas = max(room if model.replicas == "auto" else model.replicas for model in group)
    return Lane(
        name=first.name,
        entry=first,
        labels=tuple(model.name for model in group),
        concurrency=min(asked) if asked else default,  # the smallest configured limit wins
        replicas=replicas,
        gpus_per_replica=per_replica,
    )


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
