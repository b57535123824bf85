"""Scripted behaviours and the local HTTP server that answers with them in both providers' shapes: all simulated."""
