"""`python -m bench`: run one scenario or all of them, and make results.md of everything that was ever run.

`run` and `all` start themselves in the laboratory's client host (`python -m lab up` first). Each sample is a line in
bench/raw/ as soon as it is there; a run that is cut short loses nothing.
Exit codes: 0, 1 when samples that were asked for could not be had, 2 for a wrong command line or no laboratory.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from bench import machine, plan, report
from bench.runner import Bench, Cell
from bench.samples import Run, Sample, dump, load
from bench.scenarios import SCENARIOS
from bench.subjects import SUBJECTS
from lab import LabError
from tests.e2e.support import spaces
from tests.e2e.support.cluster import NoCluster, connect
from tests.e2e.support.place import go_inside

HERE: Final = Path(__file__).resolve().parent
RAW: Final = HERE / "raw"
RESULTS: Final = HERE / "results.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser().parse_args(words)
    try:
        if arguments.needs_cluster:
            go_inside("bench", words)
        handler: Callable[[argparse.Namespace], int] = arguments.handler
        return handler(arguments)
    except (LabError, NoCluster) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; what was measured is kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="list|run|all|report")
    listing = commands.add_parser("list", help="scenarios and subjects")
    listing.set_defaults(handler=_list, needs_cluster=False)
    one = commands.add_parser("run", help="one scenario")
    one.set_defaults(handler=_run, needs_cluster=True)
    one.add_argument("scenario", choices=SCENARIOS)
    one.add_argument("--subject", choices=SUBJECTS, default="contex")
    one.add_argument("--profile", choices=plan.PROFILES, default=plan.BALANCED)
    one.add_argument("--image", default=plan.REDIS_7)
    every = commands.add_parser("all", help="every scenario, subject, profile and image")
    every.set_defaults(handler=_all, needs_cluster=True)
    for command in (one, every):
        command.add_argument("--n", type=int, default=20, help="repetitions (default: 20)")
    again = commands.add_parser("report", help="make results.md of all samples in raw/")
    again.set_defaults(handler=_report, needs_cluster=False)
    return parser


def _list(_: argparse.Namespace) -> int:
    for scenario in SCENARIOS.values():
        missing = scenario.missing()
        subjects = ", ".join(name for name in scenario.subjects if name in SUBJECTS)
        print(f"{scenario.name:<18}{scenario.title} ({subjects})" + (f": {missing}" if missing else ""))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    item = plan.Item(arguments.scenario, arguments.subject, arguments.profile, arguments.image)
    return _measure([item], n=arguments.n)


def _all(arguments: argparse.Namespace) -> int:
    return _measure([item for item in plan.everything() if item.subject in SUBJECTS], n=arguments.n)


def _measure(items: Sequence[plan.Item], *, n: int) -> int:
    cluster = connect()
    spaces.apply_crds(cluster)
    run = machine.describe(cluster)
    RAW.mkdir(exist_ok=True)
    wanted = made = 0
    with (RAW / f"{run.run}.jsonl").open("a") as out:
        _write(out, run)

        def record(sample: Sample) -> None:
            nonlocal made
            made += 1
            _write(out, sample)

        bench = Bench(cluster, run, record=record, say=_say)
        for item in items:
            count = max(round(n * item.share), 1)
            wanted += count
            bench.cell(Cell(SCENARIOS[item.scenario], item.subject, item.profile, item.image), count)
    _report(argparse.Namespace())
    print(f"{made} of {wanted} samples; {RESULTS}")
    return 0 if made == wanted else 1


def _report(_: argparse.Namespace) -> int:
    lines = [each for path in sorted(RAW.glob("*.jsonl")) for each in load(path.read_text().splitlines())]
    RESULTS.write_text(report.page(lines, titles={s.name: s.title for s in SCENARIOS.values()}))
    return 0


def _write(out: IO[str], each: Sample | Run) -> None:
    print(dump(each), file=out, flush=True)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
