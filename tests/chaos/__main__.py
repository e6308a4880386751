"""`python -m tests.chaos --seed N --rounds M`: random faults and moves in the laboratory, checked after each round.

It starts itself in the laboratory's client host (`python -m lab up` first). A round is its seed and number:
`--seed 7 --only 31` plays it again. A failing round prints what was done and seen, and leaves the rest in --reports.
Exit codes: 0 when every round was clean, 1 when one was not, 2 for a wrong command line or no laboratory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from contex_operator.spec_types import Durability

from lab import LabError
from tests.chaos import hands
from tests.chaos.campaign import Campaign, Settings
from tests.chaos.planning import plan
from tests.e2e.support import spaces
from tests.e2e.support.cluster import NoCluster, connect
from tests.e2e.support.place import go_inside
from tests.e2e.support.turns import turn


def main(argv: Sequence[str] | None = None) -> int:
    """Run a campaign; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser().parse_args(words)
    numbers = arguments.only or list(range(1, arguments.rounds + 1))
    if arguments.show:
        for number in numbers:
            print(plan(arguments.seed, number, moves=hands.known_moves()))
        return 0
    try:
        go_inside("tests.chaos", words)
        return _play(arguments, numbers)
    except (LabError, NoCluster) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=200, help="rounds 1 to ROUNDS (default: 200)")
    parser.add_argument(
        "--only", type=int, action="append", metavar="ROUND", help="only this one; repeatable"
    )
    parser.add_argument("--minutes", type=float, help="begin no round after that time")
    parser.add_argument("--durability", choices=[each.value for each in Durability], default="balanced")
    parser.add_argument("--image", default="redis:7-alpine")
    parser.add_argument(
        "--keep-going", action="store_true", help="go on after a round that failed, in a new set"
    )
    parser.add_argument("--keep", action="store_true", help="leave the namespaces there")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each round")
    parser.add_argument(
        "--reports", type=Path, default=Path(tempfile.gettempdir()) / "contex-chaos", help="where failures go"
    )
    parser.add_argument("--show", action="store_true", help="print the plans, touch nothing")
    return parser


def _play(arguments: argparse.Namespace, numbers: Sequence[int]) -> int:
    cluster = connect()
    if cluster.lab is None:
        raise NoCluster("chaos harms nodes and needs the laboratory")
    spaces.apply_crds(cluster)
    settings = Settings(
        seed=arguments.seed,
        durability=arguments.durability,
        image=arguments.image,
        reports=arguments.reports,
        log=arguments.log,
        keep_going=arguments.keep_going,
        keep=arguments.keep,
    )
    with turn(cluster.lab.name, alone=True):
        for_s = arguments.minutes * 60 if arguments.minutes else None
        outcomes = Campaign(cluster, settings, say=_say).run(numbers, for_s=for_s)
    failed = [outcome for outcome in outcomes if outcome.violations]
    lost = sum(outcome.figures.get("lost", 0) for outcome in outcomes)
    acked = sum(outcome.figures.get("acked", 0) for outcome in outcomes)
    _say(
        f"{len(outcomes)} rounds, {len(failed)} failed; {acked} writes acknowledged, {lost} lost, all of them within "
        "the bounds of their rounds"
        if not failed
        else f"{len(outcomes)} rounds, failed: {', '.join(str(each.round.number) for each in failed)}"
    )
    return 1 if failed else 0


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
