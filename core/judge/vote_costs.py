"""What a vote and its prompt are expected to cost, for the choice of waves and for plans. Estimates, never a bill."""

from dataclasses import dataclass

from core.judge.prompt_file import Evidence, JudgePrompt
from core.scenario.message import CHARACTERS_PER_TOKEN
from core.spec.model_entry import ModelSpec
from core.spec.prices import model_facts

EVIDENCE_TOKENS: dict[Evidence, int] = {"request": 30, "scratchpad": 500, "response": 300}
"""Tokens of what a judge is shown of a usual reply."""

USUAL_PRICE_RATIO = 4.0
"""An output token costs so many input tokens with most providers; used where no price is known or all is free."""

MOST_CHOICES = 128
"""Of one request to an OpenAI API that has `n`."""


@dataclass(frozen=True, slots=True)
class VoteCosts:
    """Cost of asking once more, and of one vote, in the same unit."""

    prompt: float
    vote: float


def vote_costs(entry: ModelSpec, prompt: JudgePrompt, *, max_tokens: int) -> VoteCosts:
    """Where one request answers several draws, its prompt is paid once a wave; elsewhere each vote reads it from the
    cache that the first one filled, and a wave costs nothing by itself."""
    tokens = len(prompt.system) / CHARACTERS_PER_TOKEN + sum(EVIDENCE_TOKENS[name] for name in prompt.reads)
    price = model_facts(entry).price
    has_price = price is not None and price.output > 0
    per_input, per_output = (price.input, price.output) if price and has_price else (1.0, USUAL_PRICE_RATIO)
    cached = per_input if not (price and has_price) or price.cached_input is None else price.cached_input
    reply = expected_output(prompt, max_tokens=max_tokens) * per_output
    if most_draws(entry) > 1:
        return VoteCosts(prompt=tokens * per_input, vote=reply)
    return VoteCosts(prompt=0.0, vote=reply + tokens * cached)


def most_draws(entry: ModelSpec) -> int:
    """Draws that one request may answer: `n` of OpenAI's chat and raw completions; /responses has no `n`, other engines
    answer one. On vLLM several in one request are no faster than as many that share a prefix."""
    return MOST_CHOICES if entry.engine == "openai" and entry.api_kind != "responses" else 1


def expected_output(prompt: JudgePrompt, *, max_tokens: int) -> int:
    """Output tokens of a usual reply, never above the judge's own limit."""
    usual = {"rubric": 220, "criteria": 60 + 65 * prompt.criteria, "labels": 120 + 16 * len(prompt.labels)}
    return min(usual[prompt.answer], max_tokens)
