"""Decisions of a run as pure state machines: lanes, queues, retries, budget."""
