"""The two header names by which our clients and the stand-in server know each other."""

STAND_IN_HEADER = "X-Afgap-Stand-In"
"""On every answer of a stand-in: the digest of its behaviour. What carries it is simulated."""

REQUEST_ID_HEADER = "X-Client-Request-Id"
"""On every request: the (first) call id, a dot, the attempt."""
