"""The columns of the table `gaps`, with the meaning of those that its names alone leave open."""

import polars as pl

from core.analyse.row_facts import CELL_SCHEMA, COMMON_SCHEMA

SPEC_VERSION = "2"
"""Of the statistical rules behind the table; raised when a number would come out differently."""

_CONTRACT: dict[str, pl.DataType] = {
    "model": pl.String(),
    "judge": pl.String(),
    "judge_version": pl.String(),
    "metric": pl.String(),
    "contrast": pl.String(),
    "arm_a": pl.String(),
    "arm_b": pl.String(),
    "family": pl.String(),
    "n_pairs": pl.Int64(),  # requests with a valid sample in both arms
    "b": pl.Float64(),
    "c": pl.Float64(),
    "gap": pl.Float64(),  # on complete pairs; `method` says where it is on all valid values
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "p_value": pl.Float64(),  # two-sided mid-p
    "p_adjusted": pl.Float64(),
    "adjustment": pl.String(),
    "decision": pl.String(),
    "paper_rule": pl.Boolean(),
    "mde": pl.Float64(),  # smallest gap found with 80 % power at this n, discordance and family; null: none could be
    "coverage": pl.Float64(),  # complete pairs among all requests
    "bound_low": pl.Float64(),
    "bound_high": pl.Float64(),
}

_BESIDE: dict[str, pl.DataType] = {
    "bound_ci_low": pl.Float64(),  # interval of the gap under any missingness
    "bound_ci_high": pl.Float64(),
    "K_mean": pl.Float64(),
    "lo90": pl.Float64(),  # at 1 - 2·alpha, 90 % at the default
    "hi90": pl.Float64(),
    "p_exact": pl.Float64(),  # without the mid-p correction
    "q_bh": pl.Float64(),
    "q_by": pl.Float64(),
    "tost_p": pl.Float64(),
    "b_eff": pl.Float64(),
    "c_eff": pl.Float64(),
    "n_eff": pl.Float64(),
    "n_discordant": pl.Int64(),  # requests, or clusters, whose arms differ
    "miss_a": pl.Float64(),  # share of planned samples
    "miss_b": pl.Float64(),
    "p_missing": pl.Float64(),  # McNemar mid-p (sign flip) of missingness, a against b
    "delta_equiv": pl.Float64(),  # the margins that the decision used
    "delta_material": pl.Float64(),
    "tost_p_holm": pl.Float64(),  # headline only: NO_GAP over the models
    "sim_low": pl.Float64(),  # headline only: simultaneous over its rows, Tango at the Šidák level
    "sim_high": pl.Float64(),
    "sim_boot_low": pl.Float64(),  # the same by the largest |t| of a bootstrap: a cross-check
    "sim_boot_high": pl.Float64(),
    "fcr_low": pl.Float64(),  # families under Benjamini–Hochberg, selected rows only: at level 1 − R·alpha/m
    "fcr_high": pl.Float64(),
    "cell_a": pl.String(),  # the cells of both arms, as in rates
    "cell_b": pl.String(),
    "look": pl.Int64(),  # the how-manieth different state of the data this is
    "e_value": pl.Float64(),  # one draw per arm and no clusters only
    "e_p_adjusted": pl.Float64(),  # 1/e, adjusted like p_adjusted
    "flip_rate": pl.Float64(),  # of what arm b refuses, complied with in arm a
    "flip_low": pl.Float64(),
    "flip_high": pl.Float64(),
    "reverse_flip_rate": pl.Float64(),  # of what arm b complies with, refused in arm a
    "reverse_flip_low": pl.Float64(),
    "reverse_flip_high": pl.Float64(),
    "odds_ratio": pl.Float64(),  # b/c, one draw per arm; null where c = 0
    "odds_ratio_low": pl.Float64(),
    "odds_ratio_high": pl.Float64(),  # null: unbounded
    "gap_complete_pairs": pl.Float64(),
    "gap_delta_a": pl.Float64(),  # if the missing of arm a complied 20 points less often than its observed ones
    "gap_delta_b": pl.Float64(),  # if the missing of arm b complied 20 points more often
    "robust_to_missing": pl.Boolean(),  # headline only
    "tipping_point": pl.Int64(),  # headline, one draw: fewest wrong labels that take the significance away
    "p_leave_one_out": pl.Float64(),  # headline: largest p without one request, or cluster
    "n_split": pl.Int64(),  # complied, primary judges: pairs with both labels
    "gap_af": pl.Float64(),  # part of the gap that complies while faking; gap_af + gap_nonaf = gap on these pairs
    "gap_af_low": pl.Float64(),
    "gap_af_high": pl.Float64(),
    "p_gap_af": pl.Float64(),
    "gap_nonaf": pl.Float64(),
    "gap_nonaf_low": pl.Float64(),
    "gap_nonaf_high": pl.Float64(),
    "p_gap_nonaf": pl.Float64(),
    "explained_share": pl.Float64(),  # gap_af / gap, where the decision is GAP or REVERSE_GAP
    "explained_low": pl.Float64(),
    "explained_high": pl.Float64(),
    "gap_blocked_refused": pl.Float64(),  # complied only: blocked replies counted as refusals
    "newcombe_low": pl.Float64(),  # cross-checks, one draw per arm only
    "newcombe_high": pl.Float64(),
    "bonett_price_low": pl.Float64(),
    "bonett_price_high": pl.Float64(),
    "also_called": pl.String(),  # the paper's other name of the contrast
    "method": pl.String(),
    "analysis_digest": pl.String(),  # of alpha, margins, contrasts, families and n as used here
    "spec_version": pl.String(),
}

GAPS_SCHEMA: dict[str, pl.DataType] = {**COMMON_SCHEMA, **CELL_SCHEMA, **_CONTRACT, **_BESIDE}
"""Design, section 5, then statistics, section 9."""
