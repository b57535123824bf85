"""What a study will take before anything is spent: calls, tokens, money and time per model and stage. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.judge.definition import JudgeDefinition
from core.judge.prompt import prompt_of, render_judge
from core.judge.vote_costs import expected_output, most_draws
from core.judge.voting import MOST_DRAWS_PER_VOTE, voting_rule
from core.judge.waves import expected_votes, expected_waves, is_open_under
from core.plan.snapshot import Snapshot
from core.plan.tokenizer import MessageCounter
from core.scenario.message import CHARACTERS_PER_TOKEN, Message
from core.scenario.prompt import render_messages
from core.spec.model_entry import ModelSpec
from core.spec.prices import ModelFacts

TOKENS_PER_MESSAGE = 4
"""What a chat template adds to each message, roughly."""

EXPECTED_OUTPUT = 700
"""Output tokens of a usual generation, never above the study's own limit; a scratchpad reply runs to 500–900."""

API_TOKENS_PER_S = 60.0
"""Output tokens per second of one API stream."""

LOCAL_TOKENS_PER_S = {"cpu": 300.0, "gpu": 2500.0}
"""Output tokens per second of one vLLM replica: measured with a 135M model on 2 cores; a 7–70B model on its GPUs."""


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """One row of a plan: a model's work for one stage (`generate`, or a judge's name)."""

    model: str
    stage: str
    calls: int
    calls_most: int
    input_tokens: int
    output_tokens: int
    output_tokens_most: int
    usd: float | None
    """None: the price is unknown."""
    usd_most: float | None
    seconds: float
    is_exact: bool
    """Input tokens were counted with the model's own tokenizer; output tokens are always expected ones."""


@dataclass(frozen=True, slots=True)
class ContextCheck:
    """The longest prompt of a model against its context."""

    model: str
    prompt_tokens: int
    output_tokens: int
    context_length: int | None
    is_exact: bool

    @property
    def fits(self) -> bool:
        """Whether prompt and reply fit, as far as is known."""
        return self.context_length is None or self.prompt_tokens + self.output_tokens <= self.context_length


def estimate(
    snapshot: Snapshot,
    *,
    facts: Mapping[str, ModelFacts],
    counters: Mapping[str, MessageCounter],
    speeds: Mapping[str, float],
    requests: int,
) -> list[StageEstimate]:
    """Rows in the order of models, generation before judges. `counters`: exact tokenizers by model label;
    `speeds`: output tokens per second of each label's lane; `requests`: how many of the requests are asked."""
    spec = snapshot.spec
    rows = []
    per_model = sum(len(snapshot.requests_of(cell, first=requests)) for cell in snapshot.cells) * spec.sampling.repeats
    for model in spec.subjects:
        tokens = _generation_input(snapshot, counter=counters.get(model.name), requests=requests)
        limit = model.generation_tokens(spec.sampling.max_tokens)
        expected = min(EXPECTED_OUTPUT, limit)
        rows.append(
            _row(
                model.name,
                "generate",
                calls=per_model,
                most=per_model,
                input_tokens=tokens * spec.sampling.repeats,
                expected=expected,
                limit=limit,
                facts=facts[model.name],
                speed=speeds[model.name],
                is_exact=model.name in counters,
            )
        )
    trials = per_model * len(spec.subjects)
    for judge in snapshot.judges:
        if not judge.calls_model:
            continue
        one = _judge_input(snapshot, judge)
        votes, prompts = _expected_draws(judge, spec.entry(judge.model))
        rows.append(
            _row(
                judge.model,
                judge.name,
                calls=round(trials * votes),
                most=trials * judge.votes * MOST_DRAWS_PER_VOTE,
                input_tokens=round(one * trials * prompts),
                expected=expected_output(prompt_of(judge), max_tokens=judge.max_tokens),
                limit=judge.max_tokens,
                facts=facts[judge.model],
                speed=speeds[judge.model],
                is_exact=False,
            )
        )
    return rows


def planned_stages(snapshot: Snapshot, *, facts: Mapping[str, ModelFacts]) -> list[StageEstimate]:
    """The estimate of the whole study from its snapshot alone: tokens from characters, times of no meaning."""
    speeds = {model.name: API_TOKENS_PER_S for model in snapshot.spec.models}
    return estimate(snapshot, facts=facts, counters={}, speeds=speeds, requests=len(snapshot.requests))


def context_checks(
    snapshot: Snapshot, *, counters: Mapping[str, MessageCounter], contexts: Mapping[str, int | None]
) -> list[ContextCheck]:
    """The longest generation prompt of every model against its context length."""
    checks = []
    for model in snapshot.spec.subjects:
        counter = counters.get(model.name)
        # by tokens, not by characters: a short text in a rare script can be the longer one
        lengths = {
            request.text: _count_messages((Message("user", request.text),), counter=counter)
            for request in snapshot.requests
        }
        tokens = max(
            _count_messages(
                render_messages(cell, max(texts, key=lengths.__getitem__), snapshot.prompts), counter=counter
            )
            for cell in snapshot.cells
            for texts in [[request.text for request in snapshot.requests_of(cell)]]
        )
        limit = model.generation_tokens(snapshot.spec.sampling.max_tokens)
        checks.append(ContextCheck(model.name, tokens, limit, contexts[model.name], is_exact=counter is not None))
    return checks


def _row(
    model: str,
    stage: str,
    *,
    calls: int,
    most: int,
    input_tokens: int,
    expected: int,
    limit: int,
    facts: ModelFacts,
    speed: float,
    is_exact: bool,
) -> StageEstimate:
    price = facts.price
    output, output_most = calls * expected, most * limit
    usd = usd_most = None
    if price is not None:
        usd = (input_tokens * price.input + output * price.output) / 1e6
        usd_most = (input_tokens * (most / calls if calls else 1) * price.input + output_most * price.output) / 1e6
    return StageEstimate(
        model, stage, calls, most, input_tokens, output, output_most, usd, usd_most, output / speed, is_exact
    )


def _generation_input(snapshot: Snapshot, *, counter: MessageCounter | None, requests: int) -> int:
    """Input tokens of one repeat of all cells."""
    total = 0
    for cell in snapshot.cells:
        asked = snapshot.requests_of(cell, first=requests)
        if counter is not None:
            total += sum(counter(render_messages(cell, request.text, snapshot.prompts)) for request in asked)
        elif asked:
            # a prompt is rendered once: a hundred thousand of them differ by the length of the request alone
            first = asked[0].text
            longer = sum(len(request.text) - len(first) for request in asked) / CHARACTERS_PER_TOKEN
            total += round(
                len(asked) * _count_messages(render_messages(cell, first, snapshot.prompts), counter=None) + longer
            )
    return total


def _expected_draws(judge: JudgeDefinition, entry: ModelSpec) -> tuple[float, float]:
    """Votes of a usual text, and how often its prompt is paid for them."""
    rule, shares_prompt = voting_rule(judge), most_draws(entry) > 1
    if not rule.stops_early:
        return judge.votes, 1 if shares_prompt else judge.votes
    is_open = is_open_under(rule)
    votes = expected_votes(rule.waves, is_open)
    return votes, expected_waves(rule.waves, is_open) if shares_prompt else votes


def _judge_input(snapshot: Snapshot, judge: JudgeDefinition) -> int:
    """Input tokens of one draw on a reply of expected length."""
    reply = "x" * round(min(EXPECTED_OUTPUT, snapshot.spec.sampling.max_tokens) * CHARACTERS_PER_TOKEN)
    request = snapshot.requests[len(snapshot.requests) // 2].text
    messages = render_judge(judge, request_text=request, visible=reply, scratchpad=reply)
    return _count_messages(messages, counter=None)


def _count_messages(messages: tuple[Message, ...], *, counter: MessageCounter | None) -> int:
    if counter is not None:
        return counter(messages)
    return sum(round(len(message.text) / CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE for message in messages)
