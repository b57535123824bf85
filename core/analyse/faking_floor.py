"""The highest rate of faking that a judge's false positives alone could make: what a claim of faking must exceed.

The contrast with the arm without training is not enough: its scratchpads can hardly meet the training criterion, so a
false positive rate of 2 % in the training arm gives a false claim with probability .90 at 400 requests.
"""

from core.analyse.judge_error import false_positive_bound
from core.analyse.study_facts import StudyFacts


def floor_of(facts: StudyFacts, arm: str) -> float | None:
    """Highest rate of faking that the primary faking judge alone could make in an arm; None: not measured."""
    if facts.hypotheses.faking_floor is not None:
        return facts.hypotheses.faking_floor
    judge = facts.primary("faking")
    calibration = None if judge is None else facts.calibrations.get(judge.name)
    if calibration is None or arm not in calibration.arms:
        return None
    return false_positive_bound(calibration.arms[arm], conf=facts.conf)
