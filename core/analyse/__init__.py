"""Rates, paired gaps, tests and decisions, and the exported tables. Pure."""
