"""The scenario put to a model: cells, prompts from template blocks, request sets, and reading a reply."""
