"""`python -m tests.demo`: see the package's docstring, and `--help`.

Exit codes: 0 when everything held, 1 when a write was lost, a bound was exceeded or something failed, 2 for
a wrong command line or a machine that cannot carry the laboratory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import LabError
from tests.demo import report
from tests.demo.install import RELEASE, Installation, install
from tests.demo.scene import Result, Stage
from tests.demo.target import DemoError, Target, choose
from tests.demo.terminal import Terminal
from tests.demo.watching import Watches
from tests.workload.process import WorkloadError

EPILOG = """
LAB=none --context NAME plays on another cluster, without faults of nodes; its nodes must have the images.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    arguments = _parser().parse_args(argv)
    terminal = Terminal()
    try:
        target = choose(os.environ, context=arguments.context)
        return _play(target, arguments, terminal)
    except DemoError as error:
        terminal.line(terminal.paint(f"demo: {error}", "red"))
        return error.exit_code
    except (LabError, WorkloadError) as error:
        terminal.line(terminal.paint(f"demo: {error}", "red"))
        return 1
    except KeyboardInterrupt:
        terminal.line("demo: interrupted; the cluster is left as it is")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Contex with a highly available Redis: install it, break it, count.",
        epilog=EPILOG,
    )
    parser.add_argument("--context", help="with LAB=none: the context of the cluster to use")
    parser.add_argument("--namespace", default="contex-demo", help="default: contex-demo")
    parser.add_argument(
        "--values", type=Path, action="append", default=[], help="more values, after values-ha.yaml"
    )
    parser.add_argument("--fresh", action="store_true", help="remove an old release and its volumes first")
    return parser


def _play(target: Target, arguments: argparse.Namespace, terminal: Terminal) -> int:
    began = time.monotonic()
    terminal.heading(f"Contex on {target.about}")
    for done in target.prepare():
        terminal.line(f"  {done}")
    installed = install(
        target,
        namespace=arguments.namespace,
        values=arguments.values,
        fresh=arguments.fresh,
        status=terminal.status,
    )
    _introduce(terminal, installed)
    note = report.busy_note(os.getloadavg()[0], cores=os.cpu_count() or 1)
    if note:
        terminal.line("  " + terminal.paint(note, "yellow"))
    with Watches(
        target,
        namespace=installed.namespace,
        resource=installed.resource,
        master_service=installed.master_service,
        sentinels=installed.sentinel_pods,
        names=installed.addresses,
    ) as watches:
        _wait_for_eyes(watches, terminal)
        stage = Stage(target, installed, watches.state, status=terminal.status)
        broken = [s for result in _scenes(stage, target, terminal) for s in result.figures.broken()]
    _close(terminal, target, installed, broken, took_s=time.monotonic() - began)
    return 1 if broken else 0


def _scenes(stage: Stage, target: Target, terminal: Terminal) -> Iterator[Result]:
    """Play what this cluster allows; each result is shown as soon as it is there."""
    yield _show(terminal, stage.kill_master())
    if not target.has_node_faults:
        terminal.heading("Faults of nodes are left out: this is not the laboratory")
        return
    result, node = stage.power_off()
    try:
        yield _show(terminal, result)
        yield _show(terminal, stage.power_on(node))
    except BaseException:
        # The person gets the cluster whole, whatever happened.
        with contextlib.suppress(LabError):
            target.power_on(node)
        raise


def _introduce(terminal: Terminal, installed: Installation) -> None:
    how = "installed" if installed.is_new else "is installed already and was brought up to date"
    terminal.line(
        f"  release {RELEASE} in {installed.namespace} {how}; Ready after {installed.ready_after_s:.1f} s"
    )
    terminal.line(
        f"  ContexRedis {installed.resource}: {len(installed.data_pods)} data pods, {len(installed.sentinel_pods)} "
        f"sentinels, down-after {installed.down_after_s:g} s"
    )
    terminal.line(
        "  One writer for each Contex pod (its own address, 50 writes/s, deadline 1 s). Outage: the longest"
    )
    terminal.line(
        "  time between two acknowledged writes of the slowest writer whose Contex pod lives. Lost:"
    )
    terminal.line("  acknowledged, and not in the data of the master when all is over.")


def _wait_for_eyes(watches: Watches, terminal: Terminal) -> None:
    """Until the watches have seen everything, and it is green."""
    deadline = time.monotonic() + 60
    while True:
        now = watches.state.snapshot()
        missing = (
            now.not_green() if now.pods and now.nodes and now.service else ["the watches have not begun"]
        )
        if not missing:
            return
        if time.monotonic() > deadline:
            raise DemoError(f"not green before the first fault: {'; '.join(missing)}")
        terminal.status(f"waiting for green: {', '.join(missing)}")
        time.sleep(0.1)


def _show(terminal: Terminal, result: Result) -> Result:
    figures = result.figures
    terminal.heading(figures.title)
    for line in result.timeline:
        terminal.line("  " + terminal.paint(line, "dim"))
    terminal.line()
    broken = figures.broken()
    for line in report.table(figures.rows()):
        terminal.line("  " + line)
    for sentence in broken:
        terminal.line("  " + terminal.paint(sentence, "red", "bold"))
    return result


def _close(
    terminal: Terminal, target: Target, installed: Installation, broken: Sequence[str], *, took_s: float
) -> None:
    if broken:
        terminal.heading(terminal.paint(f"Not everything held ({took_s:.0f} s)", "red"))
        for sentence in broken:
            terminal.line(f"  {sentence}")
    else:
        terminal.heading(
            terminal.paint(f"No acknowledged write was lost; every bound held ({took_s:.0f} s)", "green")
        )
    space = f"-n {installed.namespace}"
    terminal.line("The cluster is left running.")
    terminal.line(f"  look at it   {target.kubectl_typed} get contexredis,pods {space} -o wide")
    terminal.line(f"               {target.kubectl_typed} describe contexredis {installed.resource} {space}")
    terminal.line(f"               {target.kubectl_typed} logs deployment/contex {space}")
    terminal.line(f"  remove it    {target.helm_typed} uninstall {RELEASE} {space}   (its volumes stay)")
    if target.down_typed:
        terminal.line(f"               {target.down_typed}   (the whole laboratory)")


if __name__ == "__main__":
    sys.exit(main())
