"""`python -m core.engines.stand_in`: the stand-in server as a process of its own."""

from core.engines.stand_in.command import main

if __name__ == "__main__":
    raise SystemExit(main())
