"""What a lane may use, and what one call uses of it, counted as its provider counts. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple

from core.plan.records import Usage
from core.spec.limits import RatesSpec
from core.spec.providers import EngineKind

Dimension = Literal["requests", "day", "tokens", "input", "output"]
Charging = Literal["reserve_max", "actual"]

MINUTE_S = 60.0
DAY_S = 86_400.0

DEFAULT_CHARGING: dict[EngineKind, Charging] = {"openai": "reserve_max", "anthropic": "actual"}
"""OpenAI counts max_tokens of every request from the start; Anthropic counts what is written."""

FIRST_CHARACTERS_PER_TOKEN = 3.5
"""Until replies have told: a little low for English, so that the first estimates are not below the count."""

LEARNING = 0.05
"""Weight of one reply in a running mean."""


class Charge(NamedTuple):
    """What one call, or many, count against each limit of tokens; each call counts one request beside."""

    tokens: float
    """Prompt and reply together."""
    input: float
    """Prompt without what the provider reads from its cache."""
    output: float

    def plus(self, other: "Charge") -> "Charge":
        """The sum."""
        return Charge(self.tokens + other.tokens, self.input + other.input, self.output + other.output)

    def less(self, other: "Charge") -> "Charge":
        """The difference."""
        return Charge(self.tokens - other.tokens, self.input - other.input, self.output - other.output)


NOTHING = Charge(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """The configured limits of a lane; None: not configured."""

    rpm: int | None = None
    rpd: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None
    charge: Charging = "reserve_max"

    def of(self, dimension: Dimension) -> int | None:
        """The limit of one dimension, per its own period."""
        by_name = {
            "requests": self.rpm, "day": self.rpd, "tokens": self.tpm, "input": self.input_tpm,
            "output": self.output_tpm,
        }  # fmt: skip
        return by_name[dimension]

    @property
    def has_rates(self) -> bool:
        """Whether anything but concurrency is configured."""
        return any(each is not None for each in (self.rpm, self.rpd, self.tpm, self.input_tpm, self.output_tpm))

    def told(self) -> str:
        """For people: `rpm 1200, tpm 90000 (charge reserve_max), concurrency 64`; `adaptive` where nothing is set."""
        parts = [f"{name} {value}" for name, value in asdict(self).items() if name != "charge" and value is not None]
        if self.tpm is not None or self.output_tpm is not None:
            parts.append(f"charge {self.charge}")
        return ", ".join(parts) or "adaptive"


def limits_of(spec: RatesSpec, *, engine: EngineKind) -> LaneLimits:
    """The limits of one entry or pool."""
    return LaneLimits(
        rpm=spec.rpm,
        rpd=spec.rpd,
        tpm=spec.tpm,
        input_tpm=spec.input_tpm,
        output_tpm=spec.output_tpm,
        concurrency=spec.concurrency,
        charge=spec.charge or DEFAULT_CHARGING.get(engine, "actual"),
    )


def smallest(several: Iterable[LaneLimits]) -> LaneLimits:
    """Of each limit the smallest that is configured; reserve_max where anyone says so, as it counts more."""
    merged = LaneLimits(charge="actual")
    for limits in several:
        values = {
            name: min((each for each in (mine, getattr(limits, name)) if each is not None), default=None)
            for name, mine in asdict(merged).items()
            if name != "charge"
        }
        charge: Charging = "reserve_max" if "reserve_max" in (merged.charge, limits.charge) else "actual"
        merged = replace(merged, **values, charge=charge)
    return merged


class Expectation:
    """What a call will count, learnt from the calls before it: tokens per character, cached share, reply length."""

    def __init__(self, charging: Charging) -> None:
        self._charging = charging
        self._tokens_per_character = 1 / FIRST_CHARACTERS_PER_TOKEN
        self._fresh_share = 1.0
        self._reply_share = 1.0  # of max_tokens
        self._replies = 0

    def of(self, *, prompt_characters: int, max_tokens: int) -> Charge:
        """The charge to reserve before the call is sent."""
        prompt = prompt_characters * self._tokens_per_character
        reply = float(max_tokens)
        if self._charging == "actual":
            reply *= self._reply_share
        return Charge(prompt + reply, prompt * self._fresh_share, reply)

    def learn(self, usage: Usage, *, prompt_characters: int, max_tokens: int) -> Charge | None:
        """What the provider has counted; None where it did not say."""
        if usage.input is None or usage.output is None:
            return None
        fresh = max(0, usage.input - (usage.cached or 0))
        self._replies += 1
        weight = max(LEARNING, 1 / self._replies)  # a plain mean at first
        if prompt_characters:
            self._tokens_per_character += weight * (usage.input / prompt_characters - self._tokens_per_character)
        if usage.input:
            self._fresh_share += weight * (fresh / usage.input - self._fresh_share)
        self._reply_share += weight * (min(1.0, usage.output / max_tokens) - self._reply_share)
        output = float(max_tokens if self._charging == "reserve_max" else usage.output)
        return Charge(usage.input + output, float(fresh), output)
