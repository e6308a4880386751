"""What the Redis pods hold, read with the pods' own redis-cli (which knows the password) through kubectl
exec.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.demo.target import DemoError, Target
from tests.workload import reading

_FIELDS: Final = 4  # of an entry that the stand-in writes: data_key, its value, event, its value
_INTEGERS: Final = ("master_sync_in_progress", "slave_repl_offset", "master_repl_offset")


def cli(target: Target, namespace: str, pod: str, *words: str) -> str:
    """What redis-cli in a data pod answers. Raises DemoError."""
    return target.kubectl("exec", "-n", namespace, pod, "-c", "redis", "--", "redis-cli", "--raw", *words)


def parse_info(text: str) -> dict[str, Any]:
    """INFO as a dictionary; offsets are integers."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    info: dict[str, Any] = {key: value.strip() for key, value in pairs}
    return info | {key: int(info[key]) for key in _INTEGERS if key in info}


def parse_stream(text: str) -> list[str]:
    """The data keys of a stream as `redis-cli --raw XRANGE` prints it: id, data_key, KEY, event, JSON, and
    so on.

    Raises ValueError when the text has another shape.
    """
    lines = text.splitlines()
    if lines == [""]:
        return []
    size = 1 + _FIELDS
    entries = [lines[i : i + size] for i in range(0, len(lines), size)]
    for entry in entries:
        if len(entry) != size or entry[1] != "data_key" or entry[3] != "event":
            raise ValueError(f"not an event that the stand-in wrote: {entry}")
    return [entry[2] for entry in entries]


def read(
    target: Target, namespace: str, pods: Sequence[str], *, stream: str, within_s: float = 60.0
) -> tuple[str, dict[str, list[str]]]:
    """Wait until one of `pods` is master and the others hold what it holds; then (master, values of each
    pod).

    Raises DemoError with the last state when they do not settle.
    """
    deadline = time.monotonic() + within_s
    while True:
        infos = _replication(target, namespace, pods)
        if infos and reading.settled(infos):
            break
        if time.monotonic() > deadline:
            said = {pod: (info.get("role"), info.get("master_link_status")) for pod, info in infos.items()}
            raise DemoError(f"the replicas did not catch up within {within_s:g} s; last seen: {said}")
        time.sleep(0.5)
    master = next(pod for pod, info in infos.items() if info["role"] == "master")
    return master, {
        pod: parse_stream(cli(target, namespace, pod, "XRANGE", stream, "-", "+")) for pod in pods
    }


def links_are_up(target: Target, namespace: str, pods: Sequence[str]) -> bool:
    """One master, and every other pod a replica with its link up. False when a pod cannot be asked."""
    try:
        infos = [parse_info(cli(target, namespace, pod, "INFO", "replication")) for pod in pods]
    except DemoError:
        return False
    masters = [info for info in infos if info["role"] == "master"]
    return len(masters) == 1 and all(i["master_link_status"] == "up" for i in infos if i not in masters)


def _replication(target: Target, namespace: str, pods: Sequence[str]) -> Mapping[str, dict[str, Any]]:
    """INFO replication of all pods, the master's first (its offset grows by itself); empty when one is
    silent.
    """
    try:
        infos = {pod: parse_info(cli(target, namespace, pod, "INFO", "replication")) for pod in pods}
        later = [pod for pod, info in infos.items() if info["role"] != "master"]
        return infos | {pod: parse_info(cli(target, namespace, pod, "INFO", "replication")) for pod in later}
    except DemoError:
        return {}
