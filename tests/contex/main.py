"""The Contex stand-in's entry point: `python main.py` serves it on port 8001 until SIGTERM.

Exit codes: 0 after SIGTERM, 2 when a variable of the contract has a value that is not allowed, 3 when Redis
could not be reached at start (as Contex does: its kubelet starts it again).
"""

import sys

# In the image this folder is the working directory; in the repository the package is tests.contex.stand_in.
from stand_in.server import serve  # type: ignore[import-not-found,unused-ignore]

if __name__ == "__main__":
    sys.exit(serve())
