"""The part of a study file on tests refuses what does not fit together, and names the fix."""

import pytest
from pydantic import ValidationError

from core.spec.analysis import AnalysisSpec

OWN = {"name": "lab", "arm_a": {"lab": "Meta"}, "arm_b": {"lab": "Anthropic"}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"delta_equiv": 0.1}, "delta_material .* must be at least delta_equiv"),
        ({"headline": "compliants"}, "is no contrast: choose from compliance"),
        ({"families": {"tier": ["mood"]}}, "families.tier: 'mood' is no contrast"),
        ({"contrasts": [OWN, OWN]}, "used 2 times"),
        ({"contrasts": [{**OWN, "name": "rater"}]}, "named contrast already"),
        ({"contrasts": [{**OWN, "arm_b": "paid"}]}, "must name the same factors"),
        ({"contrasts": [{**OWN, "arm_b": {"lab": "Meta"}}]}, "are the same"),
        (
            {"contrasts": [{"name": "sets", "arm_a": {"requests": "a"}, "arm_b": {"requests": "b"}}]},
            "paired by request",
        ),
        ({"alpha": 0.5}, "less than 0.5"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        AnalysisSpec.model_validate(given)


def test_a_contrast_of_ones_own_may_be_the_headline() -> None:
    analysis = AnalysisSpec.model_validate({"contrasts": [OWN], "headline": "lab"})
    assert analysis.headline_contrast == "lab"
    assert analysis.contrasts[0].levels("a") == {"lab": "Meta"}
