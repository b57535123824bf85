"""Agreement and areas come out as published, and rare labels or single classes have defined answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import fleiss_kappa as reference_fleiss  # type: ignore[import-untyped]
from statsmodels.stats.nonparametric import rank_compare_2indep  # type: ignore[import-untyped]

from core.analyse.agreement import binary_agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from core.analyse.judge_transfer import transfer_checks
from core.analyse.roc import auroc, clustered_auroc_interval, compare_auroc

RATINGS = np.arange(1, 6)
NEGATIVE = np.repeat(RATINGS, [33, 6, 6, 11, 2]).astype(float)
POSITIVE = np.repeat(RATINGS, [3, 2, 2, 11, 33]).astype(float)


def test_the_area_and_its_error_are_the_published_ones() -> None:
    found = auroc(POSITIVE, NEGATIVE)
    assert (round(found.area, 4), round(found.se, 4)) == (0.8932, 0.0307)
    low, high = found.area - 1.959964 * found.se, found.area + 1.959964 * found.se
    assert (round(low, 5), round(high, 5)) == (0.83295, 0.95339)
    assert found.low < found.area < found.high < 1


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_the_area_is_that_of_every_pair_and_turning_the_scores_turns_it(pos: list[int], neg: list[int]) -> None:
    p, n = np.array(pos, dtype=float), np.array(neg, dtype=float)
    found = auroc(p, n)
    by_pairs = (np.sign(p[:, None] - n[None, :]) / 2 + 0.5).mean()
    assert found.area == pytest.approx(by_pairs)
    assert auroc(-p, -n).area == pytest.approx(1 - found.area)
    assert 0 <= found.low <= found.area <= found.high <= 1


def test_the_area_is_statsmodels() -> None:
    reference = rank_compare_2indep(POSITIVE, NEGATIVE, use_t=False)
    found = auroc(POSITIVE, NEGATIVE)
    assert (found.area, found.se) == (pytest.approx(reference.prob1), pytest.approx(np.sqrt(reference.var_prob)))


def test_two_judges_on_the_same_items_are_compared_with_their_covariance() -> None:
    noisy = np.random.default_rng(0)
    worse = POSITIVE + noisy.normal(0, 4, len(POSITIVE)), NEGATIVE + noisy.normal(0, 4, len(NEGATIVE))
    found = compare_auroc((POSITIVE, worse[0]), (NEGATIVE, worse[1]))
    assert found.difference > 0
    assert found.p_value < 0.01
    same = compare_auroc((POSITIVE, POSITIVE), (NEGATIVE, NEGATIVE))
    assert same == (0.0, 0.0, 1.0)


def test_perfect_scores_keep_an_interval() -> None:
    found = auroc(np.ones(20), np.zeros(40))
    assert (found.area, found.high) == (1.0, 1.0)
    assert 0.8 < found.low < 0.9


def test_clusters_widen_the_interval_of_the_area() -> None:
    scores = np.tile(np.concatenate([POSITIVE, NEGATIVE]), 4)
    truth = np.tile(np.arange(109) < 51, 4)
    alone = clustered_auroc_interval(scores, truth, np.arange(436), seed=1)
    shared = clustered_auroc_interval(scores, truth, np.tile(np.arange(109), 4), seed=1)
    assert shared.high - shared.low > 1.5 * (alone.high - alone.low)


def test_cohens_kappa_is_the_published_one() -> None:
    found = cohen_kappa(np.array([[31, 12], [4, 58]]))
    assert found is not None
    assert (round(found.kappa, 3), round(found.se, 4)) == (0.676, 0.0734)
    assert (round(found.low, 3), round(found.high, 3)) == (0.532, 0.820)
    textbook = cohen_kappa(np.array([[20, 5], [10, 15]]))
    assert textbook is not None
    assert round(textbook.kappa, 2) == 0.40
    assert cohen_kappa(np.array([[9, 0], [0, 0]])) is None
    assert cohen_kappa(np.zeros((2, 2), dtype=np.int64)) is None


def test_rare_labels_lower_kappa_and_not_the_others() -> None:
    table = np.array([[1, 3], [2, 94]])
    kappa, others = cohen_kappa(table), binary_agreement(table)
    assert kappa is not None
    assert others is not None
    assert kappa.kappa < 0.3
    assert (others.observed, others.pabak) == (0.95, pytest.approx(0.9))
    assert others.ac1 > 0.9
    assert (others.positive, others.negative) == (pytest.approx(2 / 7), pytest.approx(188 / 193))
    assert binary_agreement(np.zeros((2, 2), dtype=np.int64)) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=20))
def test_fleiss_is_statsmodels(pairs: list[tuple[int, int]]) -> None:
    counts = np.array([[a, min(b, 5 - a), 5 - a - min(b, 5 - a)] for a, b in pairs], dtype=np.int64)
    found = fleiss_kappa(counts)
    if (counts.sum(axis=0) > 0).sum() == 1:
        assert found is None
    else:
        assert found == pytest.approx(reference_fleiss(counts))


def test_krippendorffs_alpha_is_the_published_one() -> None:
    four = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]
    found = krippendorff_alpha([[int(code) for code in unit] for unit in four])
    assert found is not None
    assert round(found.alpha, 3) == 0.743
    assert found.low < found.alpha < found.high
    pairs = list(zip("0100000010", "1110010000", strict=True))
    two = krippendorff_alpha([[int(code) for code in pair] for pair in pairs])
    assert two is not None
    assert round(two.alpha, 3) == 0.095
    assert krippendorff_alpha([[1, 1], [1, 1, 1]]) is None
    assert krippendorff_alpha([]) is None


def test_a_judge_that_fails_on_one_model_does_not_transfer_to_it() -> None:
    generator = np.random.default_rng(3)
    truth = np.tile(np.arange(80) < 40, 3)
    models = np.repeat(np.array(["a", "b", "c"]), 80)
    clean = np.where(truth, 0.9, 0.05)
    shares = np.where(models == "c", generator.random(240), clean)
    found = {each.model: each for each in transfer_checks(models, truth, shares, threshold=0.4)}
    assert found["a"].reasons == () or "unsure_votes" not in found["a"].reasons
    assert {"unsure_votes", "sensitivity_differs", "area_below_others"} <= set(found["c"].reasons)
    few = transfer_checks(models[:80][::4], truth[:80][::4], clean[:80][::4], threshold=0.4)
    assert few[0].reasons == ("few_positives", "few_negatives")
    assert few[0].area_of_others is None
