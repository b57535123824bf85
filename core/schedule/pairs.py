"""Which trials are arms of one pair, by their place in the plan: once one has begun, the other is worth its money.

Pure. A pair is a model, a request, a repeat and a setting (design, section 5); its arms differ in the condition only.
"""

from core.plan.snapshot import Snapshot
from core.scenario.cell import factors_id


class BegunPairs:
    """The pairs of a study of which a generation is stored, out or made."""

    def __init__(self, snapshot: Snapshot) -> None:
        settings = [factors_id({**cell.factors, "condition": None}) for cell in snapshot.cells]
        first = {setting: settings.index(setting) for setting in settings}
        self._axes = snapshot.trials.axes
        self._first = [first[setting] for setting in settings]
        self._begun = bytearray(len(snapshot.trials))

    def pair_of(self, trial: int) -> int:
        """Index of the first arm of a trial's pair; `trial` and the result are places in the snapshot's trials."""
        # the plan's order is request, repeat, model, cell: the cells of one pair stand together
        cell = self._axes.cell_at(trial)
        return trial - cell + self._first[cell]

    def begin(self, trial: int) -> None:
        """A trial's generation goes out, or is stored."""
        self._begun[self.pair_of(trial)] = 1

    def has_begun(self, trial: int) -> bool:
        """Whether an arm of the trial's pair has begun."""
        return bool(self._begun[self.pair_of(trial)])
