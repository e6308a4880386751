"""Where the demo plays: the laboratory with all its faults, or another cluster, whose context must be named.

DemoError    one sentence for the person at the terminal; `exit_code` is the process's
"""

from __future__ import annotations

import json
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from lab import Lab, LabError, images
from tests.demo.state import Pod
from tests.workload import killing

Json = dict[str, Any]
CONTEX_PORT: Final = 8001
_TIMEOUT_S: Final = 300.0


class DemoError(Exception):
    """What went wrong, in one sentence."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class Target(ABC):
    """A cluster: its tools, and what the demo can do to it."""

    has_node_faults: bool
    about: str  # how the cluster is called, for people
    kubectl_typed: str  # kubectl and helm as a person types them for this cluster
    helm_typed: str
    down_typed: str | None = None  # what removes all of it, where that is the demo's to say

    @abstractmethod
    def prepare(self) -> list[str]:
        """Make the cluster usable; returns what had to be done, for people. Raises DemoError."""

    @abstractmethod
    def argv(self, tool: str, *words: str) -> list[str]:
        """The command line of kubectl or helm for this cluster."""

    @abstractmethod
    def wrap(self, command: Sequence[str]) -> Sequence[str]:
        """The command line that runs `command` where `contex_url` leads to a pod."""

    @abstractmethod
    def contex_url(self, namespace: str, pod: Pod) -> Any:
        """A context manager that gives the URL of one Contex pod, as reachable through `wrap`."""

    @abstractmethod
    def kill_redis(self, namespace: str, pod: str) -> None:
        """SIGKILL to the Redis server in a pod. Raises DemoError."""

    @abstractmethod
    def power_off(self, node: str) -> None:
        """A node dies. Only where `has_node_faults`."""

    @abstractmethod
    def power_on(self, node: str) -> None:
        """It comes back; nothing happens when it is on."""

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl printed. Raises DemoError."""
        return self.run(self.argv("kubectl", *words), stdin=stdin)

    def get(self, kind: str, name: str, namespace: str) -> Json:
        """One object. Raises DemoError."""
        found: Json = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def run(self, argv: Sequence[str], *, stdin: str | None = None) -> str:
        """What a command printed. Raises DemoError with what it said."""
        try:
            done = subprocess.run(
                list(argv), input=stdin, text=True, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError:
            raise DemoError(f"{argv[0]} is not in PATH", exit_code=2) from None
        except subprocess.TimeoutExpired:
            raise DemoError(f"`{' '.join(argv[-6:])}` did not end within {_TIMEOUT_S:g} s") from None
        if done.returncode != 0:
            raise DemoError(f"`{' '.join(argv[-6:])}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


class Laboratory(Target):
    """The project's own cluster: tools, images and nodes are made as needed, and left running."""

    has_node_faults = True

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        name = "" if lab.name == "default" else f"CONTEX_LAB={lab.name} "
        self.about = f"the laboratory {lab.name!r} (three nodes on this machine)"
        self.kubectl_typed = f"{name}python -m lab kubectl"
        self.helm_typed = f"{name}python -m lab helm"
        self.down_typed = f"{name}python -m lab down"

    def prepare(self) -> list[str]:
        try:
            if not self._lab.is_up:
                self._lab.up()
                return []
            done = [f"undone: {summary}" for summary in self._lab.faults.heal()]
            loaded = self._lab.load_changed(images.images())
        except LabError as error:
            raise DemoError(str(error), exit_code=error.exit_code) from error
        return [*done, *(f"loaded anew: {name}" for name in loaded)]

    def argv(self, tool: str, *words: str) -> list[str]:
        return self._lab.tool_argv(tool, words)

    def wrap(self, command: Sequence[str]) -> Sequence[str]:
        return self._lab.client_argv(*command)

    @contextmanager
    def contex_url(self, namespace: str, pod: Pod) -> Iterator[str]:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        yield f"http://{host}:{CONTEX_PORT}"

    def kill_redis(self, namespace: str, pod: str) -> None:
        try:
            self._lab.faults.kill(namespace, pod, "redis-server")
        except LabError as error:
            raise DemoError(str(error)) from error

    def power_off(self, node: str) -> None:
        self._lab.faults.power_off(node)

    def power_on(self, node: str) -> None:
        if node not in self._lab.running_nodes():
            self._lab.faults.power_on(node)


class OtherCluster(Target):
    """A cluster of somebody's, by the name of its context. Nothing is done to its nodes."""

    has_node_faults = False

    def __init__(self, context: str) -> None:
        self._context = context
        self.about = f"the cluster of context {context!r} (its nodes are left alone)"
        self.kubectl_typed = f"kubectl --context {context}"
        self.helm_typed = f"helm --kube-context {context}"

    def prepare(self) -> list[str]:
        try:
            self.kubectl("get", "--raw", "/readyz")
        except DemoError as error:
            raise DemoError(str(error), exit_code=2) from error
        return []

    def argv(self, tool: str, *words: str) -> list[str]:
        return [tool, "--context" if tool == "kubectl" else "--kube-context", self._context, *words]

    def wrap(self, command: Sequence[str]) -> Sequence[str]:
        return command

    @contextmanager
    def contex_url(self, namespace: str, pod: Pod) -> Iterator[str]:
        forward = subprocess.Popen(
            self.argv("kubectl", "port-forward", "-n", namespace, f"pod/{pod.name}", f":{CONTEX_PORT}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert forward.stdout is not None
            said = forward.stdout.readline()
            port = re.search(r"127\.0\.0\.1:(\d+)", said)
            if port is None:
                raise DemoError(
                    f"kubectl port-forward to {pod.name} did not begin: {said.strip() or 'it ended'}"
                )
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            forward.kill()
            forward.wait()
            if forward.stdout is not None:
                forward.stdout.close()

    def kill_redis(self, namespace: str, pod: str) -> None:
        # The connection may break with the process: what counts is what the watches see afterwards.
        self.kubectl(*killing.words(namespace, pod))

    def power_off(self, node: str) -> None:
        raise DemoError(f"nodes of {self.about} are not powered off")

    def power_on(self, node: str) -> None:
        return


def choose(env: Mapping[str, str], *, context: str | None) -> Target:
    """The target that environment and command line name. Raises DemoError (exit code 2)."""
    if env.get("LAB") == "none":
        if not context:
            raise DemoError(
                "LAB=none needs --context NAME: nothing is done to a cluster that was not named", exit_code=2
            )
        return OtherCluster(context)
    if context:
        raise DemoError(
            "--context belongs to LAB=none; without it the demo runs in the laboratory", exit_code=2
        )
    try:
        return Laboratory(Lab())
    except LabError as error:
        raise DemoError(str(error), exit_code=error.exit_code) from error
