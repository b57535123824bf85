"""The study file: its schema, loading with errors that name file, key and fix, prices and weights."""
