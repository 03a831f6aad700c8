"""python -m ddpm_course: the same as the command ddpm-course."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
