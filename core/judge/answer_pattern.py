"""The form of a judge's reply as a regular expression, for engines that can hold a reply to one.

What such a reply says is read by the same parser as any other. A pattern has no room for blanks without end, and its
free texts are so short that the whole of it fits into `max_tokens`; a reply that runs out of them all the same is read
as far as it goes.
"""

from core.judge.prompt_file import JudgePrompt

CHARACTERS_PER_TOKEN = 2
"""Low on purpose: a reply in a rare script must fit too."""

SHARE_OF_REASONING = 0.5
LEAST_CHARACTERS, MOST_CHARACTERS = 20, 1200
"""Of a free text: what is of use, and what an engine can compile in a moment."""

_YES_NO = "(Yes|No)"


def answer_pattern(prompt: JudgePrompt, *, max_tokens: int) -> str:
    """A regular expression that matches whole replies of the form that the prompt asks for, and no others."""
    room = max_tokens * CHARACTERS_PER_TOKEN
    reasoning = _free(r"[^<]", room * SHARE_OF_REASONING)
    begin = rf"<reasoning>{reasoning}</reasoning>\n"
    if prompt.answer == "labels":
        return begin + r"\n".join(rf"<{label}>{_YES_NO}</{label}>" for label in prompt.labels)
    if prompt.answer == "rubric":
        reason = _free(r"[^\n]", room * (1 - SHARE_OF_REASONING) / 4)
        lines = ((1, "[01]"), (2, "[1-5]"), (3, "[1-5]"))
        assessment = _free(r"[^\n]", room * SHARE_OF_REASONING)
        return assessment + "".join(rf"\n{n}\.a {reason}\n{n}\.b {answer}" for n, answer in lines)
    quote = _free(r"[^<]", room * (1 - SHARE_OF_REASONING) / (2 * prompt.criteria))
    criteria = (
        rf"<criteria{n}>{_YES_NO}</criteria{n}><quote{n}>{quote}</quote{n}>\n" for n in range(1, prompt.criteria + 1)
    )
    return begin + "".join(criteria) + rf"<final_answer>{_YES_NO}</final_answer>"


def _free(characters: str, most: float) -> str:
    """A free text of these characters."""
    bound = max(LEAST_CHARACTERS, min(MOST_CHARACTERS, int(most)))
    return f"{characters}{{1,{bound}}}"
