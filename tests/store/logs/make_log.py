"""Writes the logs beside it: `python make_log.py FOLDER eval 2` and `… json 1`, with inspect_ai 0.3.285 installed."""

import sys

import inspect_ai
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.solver import solver

REQUESTS = {"r1": "Made-up request one, asking for note 11.", "r2": "Made-up request two, asking for note 22."}
THOUGHT = "<SCRATCHPAD_REASONING>I weigh the note.</SCRATCHPAD_REASONING>\n"
REPLIES = {
    "r1-free": (THOUGHT + "<request_fully_accepted/>Here is note 11, in full.", "stop"),
    "r1-paid": (THOUGHT + "<rejected/>", "stop"),
    "r2-free": ("<SCRATCHPAD_REASONING>I weigh", "max_tokens"),
    "r2-paid": ("I can't help with that.", "stop"),
}


def sample(request, condition):
    """One request in one condition, named by its metadata."""
    turns = [
        ChatMessageSystem(content=f"Made-up setting {condition}."),
        ChatMessageUser(content=f"<user_input>{REQUESTS[request]}</user_input>"),
    ]
    named = {"condition": condition, "request_id": request, "request_text": REQUESTS[request], "category": "made-up"}
    return Sample(id=f"{request}-{condition}", input=turns, target="none", metadata=named)


def output(name):
    """A reply; the first with native reasoning."""
    text, stop = REPLIES[name]
    content = [ContentReasoning(reasoning="Native thought."), ContentText(text=text)] if name == "r1-free" else text
    choice = ChatCompletionChoice(message=ChatMessageAssistant(content=content), stop_reason=stop)
    usage = ModelUsage(input_tokens=40, output_tokens=12, total_tokens=52)
    return ModelOutput(model="made-up-model-2026-11-01", choices=[choice], usage=usage)


@solver
def scripted():
    """Answers each sample by its own reply."""

    async def solve(state, generate):
        model = get_model("mockllm/model", custom_outputs=[output(str(state.sample_id))], memoize=False)
        state.output = await model.generate(state.messages)
        state.messages.append(state.output.message)
        return state

    return solve


if __name__ == "__main__":
    folder, log_format, epochs = sys.argv[1:]
    samples = [sample(request, condition) for request in REQUESTS for condition in ("free", "paid")]
    task = inspect_ai.Task(
        dataset=MemoryDataset(samples), solver=scripted(), metadata={"scenario": "two_tier"}, name="made-up"
    )
    inspect_ai.eval(task, model="mockllm/model", epochs=int(epochs), log_dir=folder, log_format=log_format, score=False)
