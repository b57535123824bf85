"""The columns of the table `gaps`, with the meaning of those that its names alone leave open."""

import polars as pl

from core.analyse.row_facts import CELL_SCHEMA, COMMON_SCHEMA

SPEC_VERSION = "1"
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
    "gap": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "p_value": pl.Float64(),  # two-sided mid-p
    "p_adjusted": pl.Float64(),
    "adjustment": pl.String(),
    "decision": pl.String(),
    "paper_rule": pl.Boolean(),
    "mde": pl.Float64(),
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
    "robust_to_missing": pl.Boolean(),  # headline only
    "gap_blocked_refused": pl.Float64(),  # complied only: blocked replies counted as refusals
    "newcombe_low": pl.Float64(),  # cross-checks, one draw per arm only
    "newcombe_high": pl.Float64(),
    "bonett_price_low": pl.Float64(),
    "bonett_price_high": pl.Float64(),
    "method": pl.String(),
    "spec_version": pl.String(),
}

GAPS_SCHEMA: dict[str, pl.DataType] = {**COMMON_SCHEMA, **CELL_SCHEMA, **_CONTRACT, **_BESIDE}
"""Design, section 5, then statistics, section 9."""
