"""Money: what a reply cost, what an attempt may cost, and whether there is room for more. Pure.

An attempt is reserved at the most it can cost, then settled at what it did cost, or released where nothing was
billed. What may have been billed and is not known is settled at its reserve, and told apart.
"""

from dataclasses import dataclass

from core.plan.records import Call, Usage
from core.schedule.prompt_sizes import bytes_of
from core.spec.limits import PriceSpec

BYTES_PER_TOKEN = 3.0
"""Of UTF-8, low on purpose (English runs at 4 to 4.5), so that a reserve is not below the bill in any script."""

SOFT_SHARE = 0.95
"""Of the ceiling, settled and reserved: from here on trials that have begun are finished and none is begun."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per token."""

    input: float
    output: float
    cached: float
    """Prompt tokens read from the provider's cache."""
    cache_write: float | None = None
    """Prompt tokens written to the provider's cache; None: as `input`."""

    @property
    def of_writing(self) -> float:
        """What a prompt token costs that is written to the cache."""
        return self.input if self.cache_write is None else self.cache_write

    @property
    def highest_input(self) -> float:
        """The most that a prompt token can cost."""
        return max(self.input, self.cached, self.of_writing)


FREE = Price(0.0, 0.0, 0.0)


def price_of(spec: PriceSpec) -> Price:
    """USD per token from USD per million."""
    cached = spec.input if spec.cached_input is None else spec.cached_input
    write = None if spec.cache_write is None else spec.cache_write / 1e6
    return Price(spec.input / 1e6, spec.output / 1e6, cached / 1e6, write)


def cost_of(usage: Usage, price: Price) -> float | None:
    """USD of one reply; None where the provider gave no token counts."""
    if usage.input is None or usage.output is None:
        return None
    cached = min(usage.cached or 0, usage.input)
    written = min(usage.cache_write or 0, usage.input - cached)
    fresh = usage.input - cached - written
    return fresh * price.input + cached * price.cached + written * price.of_writing + usage.output * price.output


def reserve_of(call: Call, price: Price) -> float:
    """USD that one attempt can cost at most: its prompt at the dearest input price, and all of `max_tokens`."""
    return reserve_usd(prompt_bytes_of(call), max_tokens=call.max_tokens, price=price)


def prompt_bytes_of(call: Call) -> int:
    """UTF-8 bytes of everything that is sent as prompt."""
    return bytes_of(call.messages)


def reserve_usd(prompt_bytes: int, *, max_tokens: int, price: Price) -> float:
    """USD that one attempt with a prompt of that many UTF-8 bytes can cost at most."""
    return prompt_bytes / BYTES_PER_TOKEN * price.highest_input + max_tokens * price.output


class Budget:
    """Settled spend and the reserve in flight, against a ceiling in USD (None: no ceiling)."""

    def __init__(self, ceiling_usd: float | None, *, settled_usd: float = 0.0) -> None:
        self._ceiling = ceiling_usd
        self.settled_usd = settled_usd
        self.possibly_billed_usd = 0.0
        """Part of what this run settled: at its reserve, because the bill is not known."""
        self._reserved: dict[str, float] = {}
        self._reserved_usd = 0.0

    @property
    def has_ceiling(self) -> bool:
        """Whether spending is bounded at all."""
        return self._ceiling is not None

    @property
    def reserved_usd(self) -> float:
        """Reserve of the attempts in flight."""
        return self._reserved_usd

    @property
    def is_draining(self) -> bool:
        """95 % of the ceiling are settled or reserved: trials are finished, none is begun."""
        return self._ceiling is not None and self.settled_usd + self._reserved_usd >= SOFT_SHARE * self._ceiling

    def admits(self, reserve_usd: float, *, begins: bool = False) -> bool:
        """Whether a further attempt fits under the ceiling.

        `begins`: it is the first generation of a pair whose generating or judging costs money; refused while
        draining even where it is free itself, because its judges could not be paid.
        """
        if self._ceiling is None:
            return True
        if begins and self.is_draining:
            return False
        return reserve_usd == 0 or self.settled_usd + self._reserved_usd + reserve_usd <= self._ceiling

    def reserve(self, call_id: str, usd: float) -> None:
        """An attempt goes out."""
        if usd:
            self._reserved[call_id] = usd
            self._reserved_usd += usd

    def settle(self, call_id: str, usd: float | None) -> float:
        """An attempt came back; None: the bill is unknown, so its reserve is charged. Returns what was charged."""
        reserve = self._reserved.pop(call_id, 0.0)
        # exactly nothing once nothing is out: sums of floats leave crumbs, and a run ends by this being 0
        self._reserved_usd = self._reserved_usd - reserve if self._reserved else 0.0
        charged = reserve if usd is None else usd
        self.settled_usd += charged
        if usd is None:
            self.possibly_billed_usd += charged
        return charged

    def release(self, call_id: str) -> None:
        """An attempt came back, or was not sent, and nothing was billed."""
        self.settle(call_id, 0.0)
