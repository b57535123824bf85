"""The messages of a cell and a request: system prompt from blocks, user turn with tier tag, request and suffix.

The system text of a cell is one and the same `str` object in every call, so that pickling many messages shares it.
"""

from collections.abc import Sequence
from functools import cache

from core.errors import TemplateError
from core.scenario.cell import Cell, find_scenario
from core.scenario.definition import TEMPLATES
from core.scenario.message import Message
from core.scenario.templates import Template, join_blocks, read_template, refuse_unresolved

_SYSTEM_PLACEHOLDERS = frozenset({"lab"})
_PROBE_REQUEST = "(the text of the request)"


def render_messages(cell: Cell, request_text: str) -> tuple[Message, ...]:
    """System and user message.

    TemplateError for a placeholder without a value and for a condition or factor that the scenario does not have;
    SpecError for an unknown scenario.
    """
    _refuse_foreign_factors(cell)
    return Message("system", _system_text(cell.scenario, cell.scratchpad, cell.lab)), _user_turn(cell, request_text)


def scenario_digests(cell: Cell) -> dict[str, str]:
    """Template file → digest of its text, for every file of the cell's prompt in order."""
    parts = (*_system_blocks(cell.scenario, cell.scratchpad), _user_template(cell), *_suffix_blocks(cell))
    return {f"templates/{template.name}": template.digest for template in parts}


def check_cells(cells: Sequence[Cell]) -> None:
    """TemplateError if a prompt has an unresolved placeholder or lacks the request, or if two cells' are the same."""
    seen: dict[tuple[Message, ...], Cell] = {}
    for cell in cells:
        messages = render_messages(cell, _PROBE_REQUEST)
        for message in messages:
            refuse_unresolved(message.text, where=f"{cell}, {message.role} message")
        if messages[-1].text.count(_PROBE_REQUEST) != 1:
            raise TemplateError(
                f"{_user_template(cell).name}: the request must stand in it exactly once: write {{{{request}}}} once"
            )
        other = seen.setdefault(messages, cell)
        if other != cell:
            raise TemplateError(
                f"{other} and {cell} have the same prompt: let a template differ, or remove one from the grid"
            )


@cache
def _system_text(scenario: str, scratchpad: bool, lab: str) -> str:
    return join_blocks(block.fill({"lab": lab}) for block in _system_blocks(scenario, scratchpad))


def _system_blocks(scenario: str, scratchpad: bool) -> tuple[Template, ...]:
    files = find_scenario(scenario).system.files(scratchpad=scratchpad)
    return tuple(read_template(TEMPLATES, file, declared=_SYSTEM_PLACEHOLDERS) for file in files)


def _user_template(cell: Cell) -> Template:
    scenario = find_scenario(cell.scenario)
    return read_template(TEMPLATES, scenario.user, declared=scenario.user_placeholders)


def _suffix_blocks(cell: Cell) -> tuple[Template, ...]:
    if not cell.suffix:
        return ()
    files = find_scenario(cell.scenario).suffix.files(scratchpad=cell.scratchpad)
    return tuple(read_template(TEMPLATES, file) for file in files)


def _user_turn(cell: Cell, request_text: str) -> Message:
    values = find_scenario(cell.scenario).conditions.get(cell.condition)
    if values is None:
        raise TemplateError(f"{cell.scenario} has no condition {cell.condition!r}: choose one that it has")
    turn = _user_template(cell).fill({**values, "request": request_text})
    return Message("user", join_blocks([turn, *(block.text for block in _suffix_blocks(cell))]))


def _refuse_foreign_factors(cell: Cell) -> None:
    if cell.prefill != "none":
        raise TemplateError(f"{cell}: there is no prefill {cell.prefill!r}: use none")
    if cell.deployment is not None:
        raise TemplateError(f"{cell}: {cell.scenario} has no deployments: leave deployment out")
