"""`python -m ray_jobs …`."""

import sys

from ray_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
