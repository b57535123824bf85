"""What is true without a cluster: a study's spec, prompts, judges, plan, schedule, engines, store and analysis.

Stages import from themselves or an earlier one only:
spec → scenario → judge → plan → schedule → engines → store → analyse.
"""
