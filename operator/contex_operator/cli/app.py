"""Arguments to exit code: 0 healthy or done, 1 findings or refused, 2 usage."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from contex_operator import names
from contex_operator.errors import KubeError
from contex_operator.kube import Kube
from contex_operator.kube.pods import Pods

from . import tables, wishes
from .bundle import Bundle, write
from .checks import examine, is_healthy
from .errors import FOUND, USAGE, Stop
from .gather import Gatherer, parsed
from .target import Target, access_of, default_namespace, explain, find
from .terminal import Screen, doctor_data

INTERRUPTED: Final = 130

_EPILOG: Final = """\
examples:
  kubectl contexredis status redis -n shop
  kubectl contexredis doctor                      # the only ContexRedis of the namespace
  kubectl contexredis switchover redis --to redis-replica-0
  kubectl contexredis report redis --file redis.tar.gz

exit codes: 0 healthy, or done; 1 doctor found something, or a wish was refused; 2 usage, no cluster, no such resource
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise SystemExit(self._say(message))

    def _say(self, message: str) -> int:
        print(f"{self.prog}: {message}", file=sys.stderr)
        return USAGE


def parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument(
        "name", nargs="?", help="the ContexRedis; may be left out where the namespace has only one"
    )
    common.add_argument("-n", "--namespace", help="default: the context's")
    common.add_argument("--kubeconfig", help="default: $KUBECONFIG, else ~/.kube/config")
    common.add_argument("--context", help="of the kubeconfig; default: the current one")
    common.add_argument("-o", "--output", choices=("text", "json"), default="text")

    top = _Parser(
        prog="kubectl contexredis",
        description="Look after a ContexRedis from your own machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("status", parents=[common], help="pods, sentinels' views, conditions")
    doctor = verbs.add_parser("doctor", parents=[common], help="what is wrong, what proves it, what mends it")
    doctor.add_argument(
        "--contex",
        action="append",
        default=[],
        metavar="DEPLOYMENT",
        help="look at this Deployment as Contex",
    )
    switchover = verbs.add_parser(
        "switchover", parents=[common], help="move the master, and follow it to its end"
    )
    switchover.add_argument(
        "--to", metavar="POD", help="who is to become master; default: the operator chooses"
    )
    switchover.add_argument("--timeout", type=_seconds, default=120.0, metavar="SECONDS", help="default: 120")
    verbs.add_parser("pause", parents=[common], help="the operator observes, and changes nothing")
    verbs.add_parser("resume", parents=[common], help="undo pause")
    report = verbs.add_parser("report", parents=[common], help="a support bundle without secrets")
    report.add_argument("--file", type=Path, metavar="PATH", help="default: NAME-TIME.tar.gz in this folder")
    return top


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds between 1 and 3600")
    return value


async def _status(kube: Kube, pods: Pods, target: Target, _: argparse.Namespace, screen: Screen) -> int:
    facts = await Gatherer(kube, pods, target, is_deep=False).gather()
    if screen.is_json:
        screen.data(tables.as_data(facts))
    else:
        screen.status(facts)
    return 0


async def _doctor(
    kube: Kube, pods: Pods, target: Target, arguments: argparse.Namespace, screen: Screen
) -> int:
    facts = await Gatherer(kube, pods, target, is_deep=True, contex=tuple(arguments.contex)).gather()
    findings = examine(facts)
    if screen.is_json:
        screen.data(doctor_data(facts, findings))
    else:
        screen.doctor(facts, findings)
    return 0 if is_healthy(findings) else FOUND


async def _switchover(
    kube: Kube, _: Pods, target: Target, arguments: argparse.Namespace, screen: Screen
) -> int:
    spec, problem = parsed(target.resource)
    if spec is None:
        raise Stop(f"the spec of {target.name} cannot be carried out: {problem}", code=FOUND)
    wanted = wishes.check_switchover(target.resource, spec, to=arguments.to)
    request = await wishes.ask_switchover(kube, target, wanted=wanted)
    screen.line(f"{request.before} is master; asked for a switchover to {wanted}")
    moved = await wishes.follow(kube, request, within_s=arguments.timeout, tell=screen.line)
    if screen.is_json:
        screen.data({"name": target.name, "namespace": target.namespace, **moved})
    took = f" in {moved['milliseconds']} ms" if "milliseconds" in moved else ""
    screen.line(f"master moved from {moved.get('from')} to {moved.get('to')}{took}", "green")
    if wanted not in (moved.get("to"), names.SWITCHOVER_ANY):
        raise Stop(f"the master moved, but not to {wanted} ({moved.get('reason')})", code=FOUND)
    return 0


async def _pause(kube: Kube, _: Pods, target: Target, arguments: argparse.Namespace, screen: Screen) -> int:
    paused = arguments.verb == "pause"
    changed = await wishes.set_paused(kube, target, paused=paused)
    if screen.is_json:
        screen.data(
            {"name": target.name, "namespace": target.namespace, "paused": paused, "changed": changed}
        )
    word = "paused: the operator observes, and changes nothing" if paused else "the operator acts"
    screen.line(f"{target.name}: {word}" + ("" if changed else ", as before"))
    return 0


async def _report(
    kube: Kube, pods: Pods, target: Target, arguments: argparse.Namespace, screen: Screen
) -> int:
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    folder = f"{target.name}-{now}"
    path: Path = arguments.file or Path(f"{folder}.tar.gz")
    if not path.parent.is_dir():
        raise Stop(f"--file {path}: there is no folder {path.parent}")
    facts = await Gatherer(kube, pods, target, is_deep=True).gather()
    files = await Bundle(kube, pods, facts, examine(facts)).collect()
    try:
        write(path, files, folder=folder)
    except OSError as error:
        raise Stop(f"--file {path}: {error.strerror}") from error
    if screen.is_json:
        screen.data(
            {"name": target.name, "namespace": target.namespace, "file": str(path), "files": sorted(files)}
        )
    screen.line(f"{path}: {len(files)} files, without secrets")
    return 0


Verb = Callable[[Kube, Pods, Target, argparse.Namespace, Screen], Awaitable[int]]
_VERBS: Final[dict[str, Verb]] = {
    "status": _status,
    "doctor": _doctor,
    "switchover": _switchover,
    "pause": _pause,
    "resume": _pause,
    "report": _report,
}


async def run(arguments: argparse.Namespace) -> int:
    """Carry out one command. Raises Stop and KubeError."""
    access = access_of(kubeconfig=arguments.kubeconfig, context=arguments.context)
    namespace = arguments.namespace or default_namespace(access)
    screen = Screen(is_json=arguments.output == "json")
    async with await Kube.connect(access) as kube, await Pods.connect(access) as pods:
        target = await find(kube, namespace=namespace, name=arguments.name)
        return await _VERBS[arguments.verb](kube, pods, target, arguments, screen)


async def command(words: Sequence[str] | None = None) -> int:
    """One command line to its exit code; a refusal is one sentence on stderr. Raises SystemExit for usage."""
    arguments = parser().parse_args(words)
    try:
        return await run(arguments)
    except Stop as error:
        said, code = str(error), error.code
    except KubeError as error:
        said, code = explain(error), USAGE
    print(f"kubectl contexredis: {said}", file=sys.stderr)
    return code


def main(words: Sequence[str] | None = None) -> int:
    """The console script."""
    try:
        return asyncio.run(command(words))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 0
