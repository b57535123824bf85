"""Judges as data: definitions, prompts, reading a judge's reply, voting. Pure."""
