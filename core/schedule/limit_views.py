"""What travels between the limiter and those who send calls. Plain data, no clock."""

from dataclasses import dataclass

from core.schedule.limit_charges import NOTHING, Charge, Dimension, LaneLimits


@dataclass(frozen=True, slots=True)
class LimitView:
    """What a server says of one of its limits."""

    dimension: Dimension
    limit: float
    """Per minute; of `day`, per day."""
    remaining: float
    reset_s: float | None
    """Until the limit is whole again; None: not said."""
    age_s: float = 0.0
    """Since the request that it answers was sent."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """One answer of 429."""

    retry_after_s: float | None
    age_s: float = 0.0
    """Since the request that it answers was sent: one sent before the cooldown began says nothing new."""
    limit_is_left: bool = False
    """The answer itself says that no limit is used up."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a client has learnt since it last asked."""

    answered: int = 0
    """Requests that the server took, whatever came of them."""
    correction: Charge = NOTHING
    """What they counted beyond what was reserved for them; negative where less."""
    views: tuple[LimitView, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    was_full: bool = False
    """Calls had to wait because all that may be in flight was."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A client asks for permits, or only reports; it need not have asked before."""

    client: str
    lane: tuple[str, ...]
    """Server, fingerprint of the key, and pool or model. In memory only: never logged, never stored."""
    name: str
    """The lane's name for people."""
    limits: LaneLimits
    """As configured for this client."""
    override: LaneLimits | None = None
    """What was set while running, as the client last heard: it tells a limiter that is new."""
    wanted: tuple[Charge, ...] = ()
    """What the calls that wait would count, first come first."""
    in_flight: int = 0
    waiting: int = 0
    """All calls that wait, beyond `wanted` too."""
    report: Report = Report()
    of_run: int = 1
    """Clients that its run has on this lane, itself included: they share from the start, whoever asks first."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer. A permit is for the calls asked for, in their order, and expires unused."""

    starts_s: tuple[float, ...]
    """Seconds from now at which the first so many calls may be sent."""
    ask_again_s: float
    """When to ask again; sooner where calls come to wait."""
    is_free: bool
    """No rate is known: send as many as `share` allows without asking for each."""
    hold_s: float
    """The shared cooldown: send nothing for so long."""
    share: int
    """Calls that this client may have in flight."""
    calls_per_s: float | None
    """What this client may expect to send; None: no rate is known."""
    clients: int
    """Clients among which the lane is shared."""
    kept: LaneLimits
    """What is kept to: configured or set while running, less where the server said less. Divided by `clients`, what a
    client falls back to."""
    override: LaneLimits | None = None
    """Set while running."""
