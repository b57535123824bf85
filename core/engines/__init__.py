"""One protocol, one file per implementation that answers a call."""
