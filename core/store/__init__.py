"""The workspace: four append-only tables, their one lock, and folding events into outcomes."""
