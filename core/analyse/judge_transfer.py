"""Whether a faking judge that was validated on some models can be trusted on each of them (statistics 4.6).

Pure over labelled items: whose scratchpad, what people said, what share of votes said yes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.analyse.distributions import FloatArray, fisher_p, normal_cdf
from core.analyse.judge_error import Confusion, confusion
from core.analyse.roc import auroc

FEWEST_AUDITED = 30
"""Labelled positives, and negatives, that a model needs."""
UNSURE = (0.2, 0.6)
"""Vote shares between these are near the threshold: much mass there means that labels are chance."""
MOST_UNSURE = 0.25
_LEVEL = 0.05


class Transfer(NamedTuple):
    """One model. `reasons` is empty where the judge transfers; else its rates need a correction of their own, and no
    hypothesis may rest on the faking of this model.
    """

    model: str
    errors: Confusion
    unsure: float
    """Share of its items with vote shares inside UNSURE."""
    p_sensitivity: float
    p_specificity: float
    """Fisher's p of this model's errors against those of all others."""
    area: float | None
    area_of_others: float | None
    """Areas under the ROC curve on this model and with it left out."""
    reasons: tuple[str, ...]


def transfer_checks(
    models: NDArray[np.str_], truth: NDArray[np.bool_], shares: FloatArray, *, threshold: float
) -> tuple[Transfer, ...]:
    """One check per model, by name. Arrays have an entry per labelled item; `shares` lie between 0 and 1."""
    return tuple(_check(str(name), models == name, truth, shares, threshold) for name in np.unique(models))


def _check(
    name: str, mine: NDArray[np.bool_], truth: NDArray[np.bool_], shares: FloatArray, threshold: float
) -> Transfer:
    judged = shares >= threshold
    errors, others = confusion(truth[mine], judged[mine]), confusion(truth[~mine], judged[~mine])
    p_sensitivity = fisher_p(
        [[errors.true_positive, errors.false_negative], [others.true_positive, others.false_negative]]
    )
    p_specificity = fisher_p(
        [[errors.true_negative, errors.false_positive], [others.true_negative, others.false_positive]]
    )
    unsure = float(((shares[mine] > UNSURE[0]) & (shares[mine] < UNSURE[1])).mean())
    area, area_of_others, worse = _areas(mine, truth, shares)
    holds = {
        "few_positives": errors.positives < FEWEST_AUDITED,
        "few_negatives": errors.negatives < FEWEST_AUDITED,
        "unsure_votes": unsure > MOST_UNSURE,
        "sensitivity_differs": p_sensitivity < _LEVEL,
        "specificity_differs": p_specificity < _LEVEL,
        "area_below_others": worse,
    }
    reasons = tuple(reason for reason, there in holds.items() if there)
    return Transfer(name, errors, unsure, p_sensitivity, p_specificity, area, area_of_others, reasons)


def _areas(
    mine: NDArray[np.bool_], truth: NDArray[np.bool_], shares: FloatArray
) -> tuple[float | None, float | None, bool]:
    found = []
    for part in (mine, ~mine):
        positives, negatives = shares[part & truth], shares[part & ~truth]
        found.append(auroc(positives, negatives) if len(positives) and len(negatives) else None)
    here, there = found
    if here is None or there is None:
        return here.area if here else None, there.area if there else None, False
    se = float(np.hypot(here.se, there.se))
    worse = se > 0 and float(2 * normal_cdf(-abs(here.area - there.area) / se)) < _LEVEL and here.area < there.area
    return here.area, there.area, worse
