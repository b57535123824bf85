"""The messages of a cell and a request: system prompt from blocks, user turn with tag, request and suffix, prefill.

The system text of a cell is one and the same `str` object in every call, so that pickling many messages shares it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from core.errors import TemplateError
from core.scenario.cell import Cell
from core.scenario.definition import TIER
from core.scenario.deployments import deployments
from core.scenario.lab_name import LAB_PLACEHOLDERS, assistant_values, lab_values
from core.scenario.message import Message
from core.scenario.pieces import arrange
from core.scenario.prompt_set import ORDERED, SCENARIOS, PromptSet, bundled_prompts, prefill_file
from core.scenario.templates import Template, join_blocks, refuse_unresolved

_REQUEST_MARK = "\ue000request\ue000"
"""Stands for the request while a cell is put together; no template and no factor can hold it by accident."""


class CellPrompt(NamedTuple):
    """The messages of a cell but for the request."""

    system: str | None
    """None: there is no system message."""
    before: str
    """The user turn up to the request."""
    after: str
    """The user turn behind it."""
    prefill: str | None
    """The last message, of role assistant."""

    def messages(self, request_text: str) -> tuple[Message, ...]:
        """All messages with a request in its place."""
        system = () if self.system is None else (Message("system", self.system),)
        prefill = () if self.prefill is None else (Message("assistant", self.prefill),)
        return *system, Message("user", f"{self.before}{request_text}{self.after}"), *prefill


def render_messages(cell: Cell, request_text: str, prompts: PromptSet | None = None) -> tuple[Message, ...]:
    """System message, user message and prefill, as far as the cell has them. `prompts`: null: ours.

    TemplateError for a placeholder without a value and for a condition or factor that the scenario does not have;
    SpecError for an unknown scenario.
    """
    return cell_prompt(cell, prompts or bundled_prompts()).messages(request_text)


def cell_prompt(cell: Cell, prompts: PromptSet) -> CellPrompt:
    """What `render_messages` fills the request into; made once for each cell."""
    found = prompts.rendered.get(cell)
    if found is None:
        found = prompts.rendered[cell] = _made(cell, prompts, condition=cell.condition)
    assert isinstance(found, CellPrompt)
    return found


def scenario_digests(cell: Cell, prompts: PromptSet) -> dict[str, str]:
    """File → digest, for the scenario's definition and every template of the cell's prompt in order."""
    scenario = prompts.scenario(cell.scenario)
    files = [*prompts.blocks_of(cell, scenario.system), scenario.user]
    files += [deployments()[cell.deployment].file] if cell.deployment is not None else []
    files += prompts.blocks_of(cell, scenario.suffix) if cell.suffix else []
    files += [prefill_file(cell.prefill)] if cell.prefill not in (None, "none") else []
    definition = {f"{SCENARIOS}#{cell.scenario}": prompts.definition_digest(cell.scenario)}
    return definition | {f"templates/{file}": prompts.template_digest(file) for file in files}


def check_cells(cells: Sequence[Cell], prompts: PromptSet) -> None:
    """TemplateError if a prompt has an unresolved placeholder, if two cells' prompts are the same, or if two conditions
    differ in anything but the values that scenarios.yaml gives them.
    """
    seen: dict[CellPrompt, Cell] = {}
    first_arm: dict[Cell, Cell] = {}
    checked: set[str] = set()
    for cell in cells:
        prompt = cell_prompt(cell, prompts)
        for name, text in zip(CellPrompt._fields, prompt, strict=True):
            if text is not None and text not in checked:
                refuse_unresolved(text, where=f"{cell}, {name}")
                checked.add(text)
        other = seen.setdefault(prompt, cell)
        if other != cell:
            raise TemplateError(
                f"{other} and {cell} have the same prompt: let a template differ, or remove one from the grid"
            )
        # a setting is its first arm: every other arm, given that arm's values, must come out as that arm
        setting = Cell(**{**cell.factors, "condition": ""})  # type: ignore[arg-type]  # its own factors
        first = first_arm.setdefault(setting, cell)
        if first != cell and _made(cell, prompts, condition=first.condition) != cell_prompt(first, prompts):
            raise TemplateError(
                f"{first} and {cell} differ in more than the values of their conditions: two arms may differ there only"
            )


def _made(cell: Cell, prompts: PromptSet, *, condition: str) -> CellPrompt:
    """The prompt of a cell with the values of a condition: its own, but for the check above."""
    _refuse_foreign_factors(cell, prompts)
    scenario = prompts.scenario(cell.scenario)
    names = lab_values(scenario.lab or cell.lab or "")
    names |= assistant_values(scenario.assistants, lab=names["lab"])
    where = f"{SCENARIOS}: {cell.scenario}.conditions.{condition}"
    values = {
        # most values are plain text, and a grid has thousands of cells
        key: Template(f"{where}.{key}", text, frozenset(names)).fill(names) if "{{" in text else text
        for key, text in scenario.conditions[condition].items()
    }
    if cell.deployment is not None:
        deployment = prompts.template(deployments()[cell.deployment].file, declared=LAB_PLACEHOLDERS)
        values["deployment"] = deployment.fill(names)
    user = prompts.template(scenario.user, declared=scenario.user_placeholders.union(names))
    turn = [user.fill({**values, **names, "request": _REQUEST_MARK})]
    if cell.suffix:
        blocks = prompts.blocks_of(cell, scenario.suffix)
        turn += [prompts.template(file, declared=frozenset(names)).fill(names) for file in blocks]
    before, *after = join_blocks(turn).split(_REQUEST_MARK)
    if len(after) != 1:
        raise TemplateError(f"{user.name}: the request must stand in it exactly once: write {{{{request}}}} once")
    return CellPrompt(_system_text(cell, prompts, names), before, after[0], _prefill(cell, prompts, values | names))


def _system_text(cell: Cell, prompts: PromptSet, names: Mapping[str, str]) -> str | None:
    """One object for all cells that share it."""
    key = (
        "system", cell.scenario, cell.scratchpad, names["lab"], cell.wording, cell.order, cell.fact_order,
        cell.examples, cell.example_order, cell.cumulative,
    )  # fmt: skip
    if key not in prompts.rendered:
        scenario = prompts.scenario(cell.scenario)
        reverse = [kind for factor, kind in ORDERED.items() if getattr(cell, factor) == "reversed"]
        parts = [
            Template(prompts.shown(f"templates/{file}"), text, frozenset(names)).fill(names)
            for file in prompts.blocks_of(cell, scenario.system)
            for text in arrange(prompts.pieces(file), reverse=reverse, drop=scenario.drop)
        ]
        prompts.rendered[key] = join_blocks(parts) or None
    text = prompts.rendered[key]
    assert text is None or isinstance(text, str)
    return text


def _prefill(cell: Cell, prompts: PromptSet, values: Mapping[str, str]) -> str | None:
    if cell.prefill in (None, "none"):
        return None
    declared = LAB_PLACEHOLDERS | {TIER}
    return prompts.template(prefill_file(str(cell.prefill)), declared=declared).fill(values)


def _refuse_foreign_factors(cell: Cell, prompts: PromptSet) -> None:
    if cell.condition not in prompts.scenario(cell.scenario).conditions:
        raise TemplateError(f"{cell.scenario} has no condition {cell.condition!r}: choose one that it has")
    for factor, possible in prompts.levels(cell.scenario).items():
        level = getattr(cell, factor)
        if possible is None and level is not None:
            raise TemplateError(f"{cell}: {factor} does not apply to {cell.scenario}: leave it out")
        if possible is not None and (level is None or (isinstance(possible, tuple) and level not in possible)):
            raise TemplateError(f"{cell}: {cell.scenario} has no {factor} {level!r}: choose one that it has")
