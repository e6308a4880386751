"""`python -m contex_operator.cli`; what it needs beside the operator's packages is the extra `cli`."""

from __future__ import annotations

import sys


def main() -> int:
    """The console script `kubectl-contexredis`."""
    try:
        from .app import main as run
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        print(
            "kubectl contexredis: the package rich is missing: pip install 'contex-redis-operator[cli]'",
            file=sys.stderr,
        )
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
