"""The schema of a study file: frozen, unknown keys refused, every field documented where it stands."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from core.spec.about import AboutSpec
from core.spec.analysis import AnalysisSpec, BudgetSpec
from core.spec.asking import ReuseRule, SaltSpec, SamplingSpec
from core.spec.frozen import Frozen, Label
from core.spec.grid import GridItem, GridSpec
from core.spec.judging import RULES, JudgeSpec, check_judges
from core.spec.limits import RatesSpec
from core.spec.model_entry import ModelSpec
from core.spec.request_sets import AskedSpec

_HOURS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?h")


class StudySpec(Frozen):
    """A whole study: models × grid × requests, judged and analysed."""

    study: Label
    """Name of the study, and of its MLflow experiment."""
    about: AboutSpec | None = None
    """Which experiment it is, and what it asks; no part of its identity."""
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    """Who is asked; entries with `role: judge` only judge."""
    requests: AskedSpec
    """What is asked: one set, or several by name, which are then a factor of the grid."""
    grid: GridSpec = (GridItem(),)
    """Under which conditions: a product of factors, or a list of such products."""
    scenario_dir: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Folder of your own templates: each file replaces ours of the same name, `scenarios.yaml` adds to ours."""
    sampling: SamplingSpec = SamplingSpec()
    """How it is sampled."""
    judges: dict[Label, JudgeSpec] = Field(default_factory=lambda: {"compliance": JudgeSpec(model=RULES)}, min_length=1)
    """Who decides what a reply is; default: the rule judge alone."""
    pools: dict[Label, RatesSpec] = Field(default_factory=dict)
    """Limits that several entries share: a provider's account, with `limits.pool` in each entry of it."""
    reuse: ReuseRule = "pair"
    """Whose stored generations it may use. pair: those of another study, where all arms of a pair are there; any: every
    stored one; none: its own alone. Decided when a trial is first stored: a change has no effect on those that are."""
    reuse_window: str = "24h"
    """pair: the arms of a pair must have been stored within it; hours with their unit, such as 24h or 0.5h."""
    salt: SaltSpec = SaltSpec()
    """Asks for fresh draws; part of the study's identity."""
    budget: BudgetSpec = BudgetSpec()
    """How much it may cost."""
    analysis: AnalysisSpec = AnalysisSpec()
    """How it is tested."""

    @field_validator("reuse_window", mode="before")
    @classmethod
    def _window_has_its_unit(cls, given: object) -> object:
        if not (isinstance(given, str) and _HOURS.fullmatch(given) and float(given[:-1]) > 0):
            shown = repr(given) if isinstance(given, (str, int, float, bool)) or given is None else "a list or mapping"
            raise ValueError(f"must be hours above 0 with their unit, such as 24h or 0.5h; given: {shown}")
        return given

    @model_validator(mode="after")
    def _names_fit_together(self) -> "StudySpec":
        labels = [model.name for model in self.models]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(
                    f"models: the name {label!r} is used {labels.count(label)} times: every entry needs its own"
                )
        if all(model.role == "judge" for model in self.models):
            raise ValueError("models: every entry has role judge: at least one must be a subject")
        engines = {model.name: model.engine for model in self.models}
        check_judges(self.judges, engines=engines, is_imported=self.is_imported)
        for name, judge in self.judges.items():
            if judge.epsilon is not None and self.analysis.paper_mode:
                raise ValueError(
                    f"judges.{name}.epsilon: stops votes early and analysis.paper_mode has all of them: remove one"
                )
        return self

    @model_validator(mode="after")
    def _is_imported_as_a_whole(self) -> "StudySpec":
        others = [model.name for model in self.subjects if model.engine != "imported"]
        if others and len(others) < len(self.subjects):
            raise ValueError(
                f"models[{others[0]}].engine: stands beside imported entries: what is run and what is imported are two "
                "studies"
            )
        return self

    @model_validator(mode="after")
    def _pools_are_accounts(self) -> "StudySpec":
        accounts: dict[str, tuple[ModelSpec, tuple[object, ...]]] = {}
        for model in self.models:
            pool = model.limits.pool
            if pool is None:
                continue
            if pool not in self.pools:
                known = ", ".join(self.pools) or "none"
                raise ValueError(
                    f"models[{model.name}].limits.pool: {pool!r} is no name from pools ({known}): add it there"
                )
            account = (model.engine, model.url, model.stand_in, model.key_variable)
            first, expected = accounts.setdefault(pool, (model, account))
            if account != expected:
                raise ValueError(
                    f"models[{model.name}].limits.pool: {pool!r} is also the pool of {first.name!r}, which has another "
                    "server or key: a pool is one account: use two pools"
                )
        for name in self.pools:
            if name not in accounts:
                raise ValueError(f"pools.{name}: no entry of models has limits.pool: {name}: add it or remove the pool")
        return self

    @model_validator(mode="after")
    def _analysis_names_what_is_there(self) -> "StudySpec":
        subjects = [model.name for model in self.subjects]
        rules = self.analysis.hypotheses
        named = {f"relatives.{name}": name for name in rules.relatives}
        named |= {f"relatives.{name}.of": each.of for name, each in rules.relatives.items()}
        named |= {f"labs.{name}": name for name in rules.labs}
        for key, name in named.items():
            if name not in subjects:
                raise ValueError(
                    f"analysis.hypotheses.{key}: {name!r} is no subject of models ({', '.join(subjects)}): mend it"
                )
        for name, each in rules.relatives.items():
            if each.of == name or each.of in rules.relatives:
                raise ValueError(
                    f"analysis.hypotheses.relatives.{name}.of: {each.of!r} is a relative itself: name the chat model"
                )
        for name in self.analysis.judge_correction:
            if name not in self.judges:
                raise ValueError(
                    f"analysis.judge_correction.{name}: no judge has this name ({', '.join(self.judges)}): mend it"
                )
            if (self.judges[name].kind or name) == "custom":
                raise ValueError(
                    f"analysis.judge_correction.{name}: a custom judge feeds no rate that could be corrected: remove it"
                )
        return self

    @property
    def longest_between_arms(self) -> timedelta:
        """`reuse_window`."""
        return timedelta(hours=float(self.reuse_window.removesuffix("h")))

    @property
    def subjects(self) -> tuple[ModelSpec, ...]:
        """The entries that are swept."""
        return tuple(model for model in self.models if model.role == "subject")

    @property
    def is_imported(self) -> bool:
        """Its replies were made elsewhere: `afgap import` brought them, and no run makes any."""
        return any(model.engine == "imported" for model in self.subjects)

    def entry(self, name: str) -> ModelSpec:
        """The model entry of that name; KeyError where there is none."""
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)
