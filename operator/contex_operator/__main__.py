"""`python -m contex_operator`: run the operator until SIGTERM."""

from __future__ import annotations

import asyncio
import sys

from .app import run
from .config import ConfigError, from_env


def main() -> int:
    try:
        config = from_env()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(run(config))


if __name__ == "__main__":
    sys.exit(main())
