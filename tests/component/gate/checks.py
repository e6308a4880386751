"""What the gate's tests ask of pods and groups, in a word each."""

from __future__ import annotations

import subprocess

from tests.component.gate.groups import Group
from tests.component.gate.pods import Pod, eventually


def never_promoted(pod: Pod) -> bool:
    """Whether its server was a replica from its first moment on."""
    return "MASTER MODE enabled" not in pod.log()


def says(pod: Pod, words: str) -> None:
    """Waits until these words are in the pod's present sentence."""

    def look() -> bool:
        state = pod.state()
        if words not in state:
            raise OSError(state)  # for the failure's message
        return True

    eventually(f"{pod.name} says: {words}", look)


def has_said(pod: Pod, words: str) -> None:
    """Waits until it has said so once since its start; it may be of another opinion by now."""

    def look() -> bool:
        if not any(words in line for line in pod.opinions()):
            raise OSError(str(pod.opinions()))  # for the failure's message
        return True

    eventually(f"{pod.name} says: {words}", look)


def stays_out(pod: Pod, *, rounds: int = 4) -> None:
    """The gate goes round several more times, and the pod does not become master."""
    asked = len(pod.calls("INFO"))
    eventually(f"{pod.name} asks on", lambda: len(pod.calls("INFO")) >= asked + 3 * rounds)
    assert never_promoted(pod), pod.log()


def write(pod: Pod, prefix: str, count: int = 20) -> dict[str, str]:
    """Acknowledged writes."""
    pairs = {f"{prefix}:{i}": f"{prefix} {i}" for i in range(count)}
    for key, value in pairs.items():
        assert pod.ask("SET", key, value)
    return pairs


def holds(group: Group, pod: Pod, pairs: dict[str, str]) -> bool:
    keys = group.keys(pod)
    return all(keys.get(key) == value for key, value in pairs.items())


def wrapper(pod: Pod, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """redis-cli as people call it in the pod: its status and what it said."""
    done = subprocess.run(
        [*pod.group.shell.command, str(pod.group.config / "bin" / "redis-cli"), *arguments],
        env=pod.environment() | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout.decode().strip()
