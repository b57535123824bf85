"""Money: what a reply cost, what an attempt may cost, and whether there is room for more. Pure."""

from dataclasses import dataclass

from core.plan.records import Call, Usage
from core.spec.study import PriceSpec

BYTES_PER_TOKEN = 3.0
"""Of UTF-8, low on purpose (English runs at 4 to 4.5), so that a reserve is not below the bill in any script."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per token."""

    input: float
    output: float
    cached: float


FREE = Price(0.0, 0.0, 0.0)


def price_of(spec: PriceSpec) -> Price:
    """USD per token from USD per million."""
    cached = spec.input if spec.cached_input is None else spec.cached_input
    return Price(spec.input / 1e6, spec.output / 1e6, cached / 1e6)


def cost_of(usage: Usage, price: Price) -> float | None:
    """USD of one reply; None where the provider gave no token counts."""
    if usage.input is None or usage.output is None:
        return None
    cached = min(usage.cached or 0, usage.input)
    return (usage.input - cached) * price.input + cached * price.cached + usage.output * price.output


def reserve_of(call: Call, price: Price) -> float:
    """USD that one attempt can cost at most: its prompt, uncached, and all of `max_tokens`."""
    prompt = sum(len(message.text.encode()) for message in call.messages)
    return reserve_usd(prompt, max_tokens=call.max_tokens, price=price)


def reserve_usd(prompt_bytes: int, *, max_tokens: int, price: Price) -> float:
    """USD that one attempt with a prompt of that many UTF-8 bytes can cost at most."""
    return prompt_bytes / BYTES_PER_TOKEN * price.input + max_tokens * price.output


class Budget:
    """Settled spend and the reserve in flight, against a ceiling in USD (None: no ceiling)."""

    def __init__(self, ceiling_usd: float | None, *, settled_usd: float = 0.0) -> None:
        self._ceiling = ceiling_usd
        self.settled_usd = settled_usd
        self._reserved: dict[str, float] = {}

    @property
    def reserved_usd(self) -> float:
        """Reserve of the attempts in flight."""
        return sum(self._reserved.values())

    def admits(self, reserve_usd: float) -> bool:
        """Whether a further attempt fits under the ceiling."""
        if self._ceiling is None or reserve_usd == 0:
            return True
        return self.settled_usd + self.reserved_usd + reserve_usd <= self._ceiling

    def reserve(self, call_id: str, usd: float) -> None:
        """An attempt goes out."""
        if usd:
            self._reserved[call_id] = usd

    def settle(self, call_id: str, usd: float | None) -> None:
        """An attempt came back; None: the bill is unknown, so its reserve is charged."""
        reserve = self._reserved.pop(call_id, 0.0)
        self.settled_usd += reserve if usd is None else usd
