"""The command `python -m lab <verb> …`: a thin layer over `lab.Lab`.

Exit codes: that of the command for kubectl, helm, exec-node and run; else 0, 1 for a failure, 2 for a wrong command
line, a machine that cannot carry a laboratory, or a laboratory that is not up. An error is one sentence on stderr.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import images, machine, packages, tools
from lab.cluster import Lab
from lab.errors import LabError
from lab.faults.firewall import BOTH, DIRECTIONS
from lab.faults.pods import split
from lab.paths import NAME_VARIABLE

Handler = Callable[[Lab, argparse.Namespace], int]
# What follows these verbs belongs to another program, options included.
BUILDING = ("tools", "images")  # need no laboratory, and say themselves what they need
PASSING = (*BUILDING, "kubectl", "helm", "exec-node", "run")
EXAMPLES = """
examples:
  python -m lab up
  python -m lab kubectl get nodes
  python -m lab run -- pytest tests/e2e
  python -m lab kill default/redis-master-0 redis-server
  python -m lab power-off node2 ; python -m lab power-on node2
  python -m lab partition --a node1 --b node2,node3 ; python -m lab heal
  python -m lab down
"""


# -- life -----------------------------------------------------------------------------------------------------


def _packages(_: Lab, args: argparse.Namespace) -> int:
    installed = packages.install_missing()
    if not args.quiet:
        print("installed: " + ", ".join(installed) if installed else "every package is installed already")
    return 0


def _up(lab: Lab, _: argparse.Namespace) -> int:
    if lab.is_up:
        print(f"the laboratory {lab.name!r} is up already")
    lab.up()
    return 0


def _down(lab: Lab, _: argparse.Namespace) -> int:
    lab.down()
    return 0


def _status(lab: Lab, _: argparse.Namespace) -> int:
    status = lab.status()
    print("\n".join(status.lines()))
    return 0 if status.up else 2


def _load(lab: Lab, args: argparse.Namespace) -> int:
    lab.require_up()
    if args.archives:
        lab.load_images(*args.archives)
        return 0
    loaded = lab.load_changed(images.images())
    print("loaded: " + ", ".join(loaded) if loaded else "every node has the newest images already")
    return 0


# -- commands that become another -----------------------------------------------------------------------------


def _become(argv: list[str]) -> int:
    sys.stdout.flush()
    # Python ignores SIGPIPE and hands that on: what we become shall end when its reader does, as usual.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 - on purpose without a shell


def _kubectl(lab: Lab, args: argparse.Namespace) -> int:
    lab.require_up()
    return _become(lab.tool_argv(args.verb, args.command))


def _exec_node(lab: Lab, args: argparse.Namespace) -> int:
    return _become(lab.node_argv(args.node, *(args.command or ["bash"])))


def _run(lab: Lab, args: argparse.Namespace) -> int:
    return _become(lab.client_argv(*(args.command or ["bash"])))


# -- faults ---------------------------------------------------------------------------------------------------


def _kill(lab: Lab, args: argparse.Namespace) -> int:
    killed = lab.faults.kill(*split(args.pod), args.process, signal=args.signal, container=args.container)
    print(killed.summary)
    return 0


def _freeze(lab: Lab, args: argparse.Namespace) -> int:
    print(lab.faults.freeze(args.target, container=args.container).summary)
    return 0


def _thaw(lab: Lab, args: argparse.Namespace) -> int:
    lab.faults.thaw(args.target)
    return 0


def _power_off(lab: Lab, args: argparse.Namespace) -> int:
    print(lab.faults.power_off(args.node).summary)
    return 0


def _power_on(lab: Lab, args: argparse.Namespace) -> int:
    lab.faults.power_on(args.node)
    return 0


def _cut(lab: Lab, args: argparse.Namespace) -> int:
    print(lab.faults.cut(args.host).summary)
    return 0


def _join(lab: Lab, args: argparse.Namespace) -> int:
    lab.faults.join(args.host)
    return 0


def _partition(lab: Lab, args: argparse.Namespace) -> int:
    print(lab.faults.partition(a=args.a, b=args.b, direction=args.direction).summary)
    return 0


def _dns(lab: Lab, args: argparse.Namespace) -> int:
    if args.state == "off":
        print(lab.faults.dns_off().summary)
    else:
        lab.faults.dns_on()
    return 0


def _clock(lab: Lab, args: argparse.Namespace) -> int:
    print(lab.faults.clock(*split(args.pod), args.seconds, process=args.process).summary)
    return 0


def _fill_disk(lab: Lab, args: argparse.Namespace) -> int:
    fault = lab.faults.fill_disk(*split(args.pod), volume=args.volume, leave_bytes=args.leave_bytes)
    print(fault.summary)
    return 0


def _heal(lab: Lab, args: argparse.Namespace) -> int:
    for summary in lab.faults.heal(args.id):
        print("undone:", summary)
    return 0


# -- the command line -----------------------------------------------------------------------------------------


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _signal_number(text: str) -> signal.Signals:
    name = text.upper().removeprefix("SIG")
    try:
        return signal.Signals(int(name)) if name.isdigit() else signal.Signals[f"SIG{name}"]
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no signal; write KILL, TERM, STOP or a number"
        ) from None


class _Verbs:
    """Collects the verbs: each is a name, a line of help and a handler."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._sub = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(self, name: str, handler: Handler, text: str) -> argparse.ArgumentParser:
        parser = self._sub.add_parser(name, help=text, description=text)
        parser.set_defaults(handler=handler)
        return parser


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m lab",
        description="A real three-node Kubernetes on this machine, and faults that can be done to it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--name", help=f"name of the laboratory (else ${NAME_VARIABLE}, else 'default')")
    verbs = _Verbs(top)
    _add_life(verbs)
    _add_faults(verbs)
    return top


def _add_life(verbs: _Verbs) -> None:
    installing = verbs.add("packages", _packages, "install the Debian packages that are missing")
    installing.add_argument("--quiet", action="store_true", help="say nothing")
    verbs.add("tools", lambda _, args: tools.main(args.command), "build the cluster's binaries")
    verbs.add("images", lambda _, args: images.main(args.command), "build the images")
    verbs.add("up", _up, "bring the laboratory up")
    verbs.add("down", _down, "remove everything of the laboratory")
    verbs.add("status", _status, "what runs, and which faults are active")
    verbs.add(
        "load", _load, "import images into the nodes: archives, or all that were built anew"
    ).add_argument("archives", nargs="*", type=Path)
    for tool in ("kubectl", "helm"):
        verbs.add(tool, _kubectl, f"run {tool} as administrator, with all of its own options")
    node = verbs.add("exec-node", _exec_node, "run a command on a node (a shell, when none is given)")
    node.add_argument("node")
    verbs.add("run", _run, "run a command in the client host, where pods, Services and the cluster's DNS are")


def _add_faults(verbs: _Verbs) -> None:
    pod_help = "namespace/pod"
    kill = verbs.add("kill", _kill, "send a signal to a process in a pod")
    kill.add_argument("pod", help=pod_help)
    kill.add_argument("process", help="its command's name, e.g. redis-server")
    kill.add_argument("--signal", type=_signal_number, default=signal.SIGKILL, help="default: KILL")
    kill.add_argument("--container")
    freeze = verbs.add("freeze", _freeze, "stop everything on a node or in a pod")
    freeze.add_argument("target", help=f"a node or {pod_help}")
    freeze.add_argument("--container", help="only this container of the pod")
    verbs.add("thaw", _thaw, "undo freeze").add_argument("target", help=f"a node or {pod_help}")
    verbs.add("power-off", _power_off, "a node dies at once").add_argument("node")
    verbs.add("power-on", _power_on, "undo power-off").add_argument("node")
    verbs.add("cut", _cut, "pull the network cable of a node or of the client").add_argument("host")
    verbs.add("join", _join, "undo cut").add_argument("host")
    partition = verbs.add("partition", _partition, "drop all packets between two sides (undo: heal)")
    for side in ("--a", "--b"):
        partition.add_argument(
            side, type=_names, required=True, help=f"nodes, {pod_help}, client, control; separated by commas"
        )
    partition.add_argument("--direction", choices=DIRECTIONS, default=BOTH)
    verbs.add("dns", _dns, "no DNS question is answered, or all are again").add_argument(
        "state", choices=("on", "off")
    )
    clock = verbs.add("clock", _clock, "let the wall clock in a pod jump (undo: heal)")
    clock.add_argument("pod", help=pod_help)
    clock.add_argument("seconds", type=int, help="ahead of the right time; negative: behind")
    clock.add_argument("--process", help="only processes of this command")
    fill = verbs.add("fill-disk", _fill_disk, "fill a volume of a pod (undo: heal)")
    fill.add_argument("pod", help=pod_help)
    fill.add_argument("--volume", help="name of the volume in the pod, where there are several")
    fill.add_argument("--leave-bytes", type=int, default=0)
    heal = verbs.add("heal", _heal, "undo one fault, or all of them")
    heal.add_argument("id", nargs="?", help="as `status` shows it; all when left out")


def split_command(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words for this command line, and those for the program behind a passing verb (without a leading "--")."""
    words = list(argv)
    for index, word in enumerate(words):
        if word in PASSING and (index == 0 or words[index - 1] != "--name"):
            own = index + (2 if word == "exec-node" else 1)
            if {"-h", "--help"} & set(words[own : own + 1]) and word not in ("kubectl", "helm"):
                own += 1
            rest = words[own:]
            return words[:own], rest[1:] if rest[:1] == ["--"] else rest
        if not word.startswith("-") and (index == 0 or words[index - 1] != "--name"):
            break
    return words, []


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words, rest = split_command(sys.argv[1:] if argv is None else argv)
    args = parser().parse_args(words)
    args.command = rest
    try:
        if args.verb not in ("packages", *BUILDING):
            machine.check_root()
        handler: Handler = args.handler
        return handler(Lab(args.name), args)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("lab: interrupted; `python -m lab down` removes what is there", file=sys.stderr)
        return 128 + signal.SIGINT
