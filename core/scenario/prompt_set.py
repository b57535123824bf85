"""All scenarios and templates that a study renders from: ours, with those of its own folder laid over them.

A prompt set is made of texts alone, so it travels with a snapshot to every node and renders the same there.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from core.errors import SpecError, TemplateError
from core.identity import fingerprint, text_digest
from core.scenario.cell import DEFAULT_LEVELS, Cell, Factor
from core.scenario.definition import FOLDER, TEMPLATES, Block, Scenario, make_scenario, read_scenarios
from core.scenario.deployments import deployments
from core.scenario.lab_name import LAB_PLACEHOLDERS
from core.scenario.pieces import Kind, Piece, split_pieces
from core.scenario.templates import Template

T = TypeVar("T")

SCENARIOS = "scenarios.yaml"
ORDERED: Mapping[str, Kind] = MappingProxyType({"order": "tier", "fact_order": "fact", "example_order": "example"})
"""Factor → the kind of parts that it reverses."""

ORDERS = ("given", "reversed")
BOTH = (True, False)

_MOST_BYTES = 1_000_000
"""Of one file of a template folder."""


class OpenLevels:
    """What a factor has that takes any name."""


Levels = tuple[Factor, ...] | OpenLevels | None
"""Of a factor in a scenario, the default first; None: it does not apply."""


class PromptSet:
    """Scenarios by id, their templates, and which levels each factor has in each."""

    def __init__(self, overlay: Mapping[str, str] | None = None, *, origin: str = "scenario_dir") -> None:
        """`overlay`: file → text, as `read_overlay` gives them; `origin` names their folder in errors.

        TemplateError where a scenario of the overlay is malformed or one of its templates belongs to none.
        """
        self.overlay = dict(overlay or {})
        self.origin = origin
        self._templates: dict[tuple[str, frozenset[str]], Template] = {}
        self.rendered: dict[object, Any] = {}
        """What `core.scenario.prompt` has made of templates; nothing in it is ever out of date."""
        ours = read_scenarios((FOLDER / SCENARIOS).read_text(encoding="utf-8"), where=SCENARIOS, known={})
        theirs: dict[str, Any] = {}
        if SCENARIOS in self.overlay:
            theirs = read_scenarios(self.overlay[SCENARIOS], where=self.shown(SCENARIOS), known=ours)
        self.scenarios: Mapping[str, Scenario] = {
            **{name: make_scenario(name, fields, where=SCENARIOS) for name, fields in ours.items()},
            **{name: make_scenario(name, fields, where=self.shown(SCENARIOS)) for name, fields in theirs.items()},
        }
        for name, scenario in self.scenarios.items():
            self._refuse_misnamed(name, scenario)
        self._refuse_strays()

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.overlay, self.origin)

    def __eq__(self, other: object) -> bool:
        return self.overlay == other.overlay if isinstance(other, PromptSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(fingerprint(self.overlay))

    def shown(self, file: str) -> str:
        """A file's name for errors: with its folder where it is not ours."""
        return f"{self.origin}/{file}" if file in self.overlay else file

    def scenario(self, name: str) -> Scenario:
        """The scenario of that id. SpecError where there is none."""
        try:
            return self.scenarios[name]
        except KeyError:
            known = ", ".join(self.scenarios)
            raise SpecError(f"grid.scenario: {name!r} is not a scenario: choose from {known}") from None

    def text(self, name: str) -> str:
        """The text of the template file `templates/NAME`, trimmed. TemplateError where it is not there or empty."""
        file = f"templates/{name}"
        text = self.overlay[file] if file in self.overlay else _bundled_text(name)
        if text is None:
            place = f", nor in {self.origin}/templates" if self.overlay else ""
            raise TemplateError(f"{name}: there is no such template among ours{place}: add the file")
        if not text.strip():
            raise TemplateError(f"{self.shown(file)}: the template is empty: write its text or leave it out")
        return text.strip()

    def template(self, name: str, *, declared: frozenset[str]) -> Template:
        """A template that is one part. TemplateError for a placeholder that is not declared."""
        key = (name, declared)
        if key not in self._templates:
            self._templates[key] = Template(self.shown(f"templates/{name}"), self.text(name), declared)
        return self._templates[key]

    def pieces(self, name: str) -> tuple[Piece, ...]:
        """The parts of a template."""
        return split_pieces(self.text(name), where=self.shown(f"templates/{name}"))

    def levels(self, name: str) -> Mapping[str, Levels]:
        """Factor → its levels in a scenario, in the order of the factors and without the arm. SpecError where there is
        no such scenario."""
        return self._once(("levels", name), lambda: self._levels(self.scenario(name)))

    def cell(self, scenario: str, condition: str, **levels: Factor) -> Cell:
        """A cell with every other factor at its default. SpecError for a level that the scenario does not have."""
        known = tuple(self.scenario(scenario).conditions)
        if condition not in known:
            raise SpecError(
                f"grid.condition: {condition!r} is not a condition of {scenario}: choose from {', '.join(known)}"
            )
        chosen: dict[str, Any] = {}
        for factor, possible in self.levels(scenario).items():
            default = None if possible is None else DEFAULT_LEVELS[factor]
            chosen[factor] = levels.get(factor, default) if possible is not None else None
            if isinstance(possible, tuple):
                check_level(factor, chosen[factor], possible=possible, scenario=scenario)
        return without_effectless(Cell(scenario, condition, **chosen))

    def definition_digest(self, name: str) -> str:
        """Digest of a scenario's definition: of its blocks, conditions and names, not of the texts."""
        return self._once(("definition", name), lambda: fingerprint(self.scenario(name).model_dump(mode="json")))

    def template_digest(self, name: str) -> str:
        """Digest of a template's text before it is filled."""
        return self._once(("digest", name), lambda: text_digest(self.text(name)))

    def blocks_of(self, cell: Cell, blocks: tuple[Block, ...]) -> tuple[str, ...]:
        """The files that are there in a cell, in order, with the cell's wording."""
        there = {
            "always": True,
            "scratchpad": cell.asks_for_scratchpad,
            "no_scratchpad": not cell.asks_for_scratchpad,
            "examples": cell.asks_for_scratchpad and cell.examples is True,
            "cumulative": cell.cumulative is True,
        }
        worded = self.scenario(cell.scenario).wordings.get(cell.wording or "", {})
        return tuple(worded.get(block.file, block.file) for block in blocks if there[block.when])

    def _once(self, key: tuple[str, str], make: Callable[[], T]) -> T:
        found: T | None = self.rendered.get(key)
        if found is None:
            found = self.rendered[key] = make()
        return found

    def _levels(self, scenario: Scenario) -> dict[str, Levels]:
        settings = {block.when for block in (*scenario.system, *scenario.suffix)}
        kinds: dict[str, int] = {}
        for block in scenario.system:
            for piece in self.pieces(block.file):
                if piece.kind != "tier" or piece.name != scenario.drop:
                    kinds[piece.kind] = kinds.get(piece.kind, 0) + 1
        has_scratchpad = bool(settings & {"scratchpad", "no_scratchpad"})
        applying: dict[str, Levels] = {
            "scratchpad": BOTH if has_scratchpad else None,
            "prefill": ("none", *scenario.prefills) if scenario.prefills else None,
            "suffix": BOTH if scenario.suffix else None,
            "lab": OpenLevels() if scenario.lab is None and self._names_a_lab(scenario) else None,
            "deployment": scenario.deployments or None,
            "wording": ("original", *scenario.wordings) if scenario.wordings else None,
            "order": None,
            "fact_order": None,
            "examples": BOTH if "examples" in settings else None,
            "example_order": None,
            "cumulative": BOTH if "cumulative" in settings else None,
        }
        return applying | {factor: ORDERS for factor, kind in ORDERED.items() if kinds.get(kind, 0) > 1}

    def _names_a_lab(self, scenario: Scenario) -> bool:
        files = [block.file for block in (*scenario.system, *scenario.suffix)]
        files += [scenario.user, *(deployments()[name].file for name in scenario.deployments)]
        return any(f"{{{{{name}}}}}" in self.text(file) for file in files for name in LAB_PLACEHOLDERS)

    def _refuse_misnamed(self, name: str, scenario: Scenario) -> None:
        """What a definition names must be there; texts are looked at when a cell needs them."""
        where = f"{self.shown(SCENARIOS)}: {name}"
        blocks = [block.file for block in (*scenario.system, *scenario.suffix)]
        for wording, files in scenario.wordings.items():
            for file in files:
                if file not in blocks:
                    raise TemplateError(f"{where}.wordings.{wording}: {file!r} is no block of it: choose one that is")
        for deployment in scenario.deployments:
            if deployment not in deployments():
                known = ", ".join(deployments())
                raise TemplateError(f"{where}.deployments: {deployment!r} is none: choose from {known}")
        tiers = [piece.name for file in blocks if scenario.drop for piece in self.pieces(file) if piece.kind == "tier"]
        if scenario.drop is not None and scenario.drop not in tiers:
            raise TemplateError(f"{where}.drop: {scenario.drop!r} is no tier of it: choose from {', '.join(tiers)}")

    def _refuse_strays(self) -> None:
        used = {file for scenario in self.scenarios.values() for file in files_of(scenario)}
        for file in self.overlay:
            if file != SCENARIOS and file.removeprefix("templates/") not in used:
                raise TemplateError(
                    f"{self.shown(file)}: no scenario uses this template: give it the name of one of ours, or name it "
                    f"in {self.origin}/{SCENARIOS}"
                )


def files_of(scenario: Scenario) -> tuple[str, ...]:
    """Every template file that some cell of a scenario uses."""
    return (
        *(block.file for block in (*scenario.system, *scenario.suffix)),
        *(file for wording in scenario.wordings.values() for file in wording.values()),
        scenario.user,
        *(prefill_file(name) for name in scenario.prefills),
        *(deployments()[name].file for name in scenario.deployments),
    )


def prefill_file(name: str) -> str:
    """The template of a prefill."""
    return f"prefill/{name}.md"


def check_level(factor: str, level: Factor, *, possible: tuple[Factor, ...], scenario: str) -> None:
    """SpecError, with key and fix, for a level that is none of these."""
    # True == 1 in Python, but a level is a text, true or false
    if not any(level == each and type(level) is type(each) for each in possible):
        choice = ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in possible)
        raise SpecError(f"grid.{factor}: {level!r} is no {factor} of {scenario}: choose from {choice}")


def without_effectless(cell: Cell) -> Cell:
    """The cell with each factor that has no effect beside the others at its default."""
    changed = {factor: getattr(cell, factor) for factor in Cell.__slots__}
    silent = [] if cell.asks_for_scratchpad else ["prefill", "examples", "example_order"]
    silent += [] if cell.examples else ["example_order"]
    for factor in silent:
        if changed[factor] is not None:
            changed[factor] = DEFAULT_LEVELS[factor]
    return Cell(**changed)


def read_overlay(folder: Path) -> dict[str, str]:
    """File → text, of the templates and scenarios.yaml in a study's own folder. TemplateError where it can't be read or
    holds neither."""
    if not folder.is_dir():
        raise TemplateError(f"scenario_dir: {folder} is no folder: correct the path")
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".md", ".yaml") and path.is_file())
    texts: dict[str, str] = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        if name != SCENARIOS and not (name.startswith("templates/") and path.suffix == ".md"):
            raise TemplateError(f"{path}: only {SCENARIOS} and templates/**/*.md are read: move or remove it")
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise TemplateError(f"{path}: longer than {_MOST_BYTES} bytes: this is no prompt template")
            texts[name] = path.read_text(encoding="utf-8")
        except OSError as error:
            raise TemplateError(f"{path}: can't be read ({error.strerror}): make it readable") from None
        except UnicodeDecodeError:
            raise TemplateError(f"{path}: is not UTF-8: save it as UTF-8") from None
    if not texts:
        raise TemplateError(f"scenario_dir: {folder} holds neither {SCENARIOS} nor templates/*/*.md: add one")
    return texts


@cache
def bundled_prompts() -> PromptSet:
    """Our own scenarios and templates alone."""
    return PromptSet()


@cache
def bundled_templates() -> frozenset[str]:
    """Names of our template files, without `templates/`."""
    return frozenset(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.md"))


@cache
def _bundled_text(name: str) -> str | None:
    # only what stands in the folder: a name such as ../../x.md of a user's scenario leads nowhere
    return (TEMPLATES / name).read_text(encoding="utf-8") if name in bundled_templates() else None


def _remade(overlay: Mapping[str, str], origin: str) -> PromptSet:
    return PromptSet(overlay, origin=origin) if overlay else bundled_prompts()
