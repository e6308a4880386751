"""The eyes of the demo: kubectl watches, and the sentinels' own messages, each a child process and a
thread.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Final, Self

from tests.demo import state
from tests.demo.target import Target

_AGAIN_AFTER_S: Final = 2.0
_CHANNELS: Final = ("+odown", "+switch-master")


class Watches:
    """All watches of one release, from entering to leaving the context; what they see goes into `state`.

    `sentinels` are pods, `names` maps the data pods' addresses to their names. A watch or subscription that
    ends, because its connection was cut or its pod died, is begun again.
    """

    def __init__(
        self,
        target: Target,
        *,
        namespace: str,
        resource: str,
        master_service: str,
        sentinels: Iterable[str],
        names: Mapping[str, str],
    ) -> None:
        self.state = state.State()
        self._names = dict(names)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()
        kinds: list[tuple[tuple[str, ...], str, Callable[[str], None]]] = [
            (("pods",), state.POD_LINE, self.state.pod_line),
            (("nodes",), state.NODE_LINE, self.state.node_line),
            (("contexredis", resource), state.RESOURCE_LINE, self.state.resource_line),
            (("service", master_service), state.SERVICE_LINE, self.state.service_line),
        ]
        runs: list[tuple[list[str], Callable[[Iterator[str]], None]]] = []
        for what, template, take in kinds:
            words = (
                "get",
                *what,
                "-n",
                namespace,
                "--watch",
                "--output-watch-events",
                "-o",
                f"jsonpath={template}",
            )
            runs.append((target.argv("kubectl", *words), _each(take)))
        for pod in sentinels:
            words = (
                "exec",
                "-n",
                namespace,
                pod,
                "-c",
                "sentinel",
                "--",
                "redis-cli",
                "-p",
                "26379",
                "SUBSCRIBE",
            )
            runs.append((target.argv("kubectl", *words, *_CHANNELS), self._messages_of(pod)))
        self._threads = [
            threading.Thread(target=self._keep_reading, args=(argv, take), daemon=True) for argv, take in runs
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        with self._lock:
            for child in self._children:
                child.kill()
        for thread in self._threads:
            thread.join()

    def _keep_reading(self, argv: list[str], take: Callable[[Iterator[str]], None]) -> None:
        while not self._stopped.is_set():
            with self._lock:
                if self._stopped.is_set():
                    return
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                self._children.add(child)
            try:
                assert child.stdout is not None
                with child.stdout as lines:
                    take(iter(lines))
            except ValueError as error:
                self.state.fail(error)
                return
            finally:
                child.kill()
                child.wait()
                with self._lock:
                    self._children.discard(child)
            self._stopped.wait(_AGAIN_AFTER_S)

    def _messages_of(self, pod: str) -> Callable[[Iterator[str]], None]:
        def take(lines: Iterator[str]) -> None:
            for channel, message in messages(lines):
                said = sentence(channel, message, names=self._names)
                if said:
                    self.state.say(said, by=pod)

        return take


def _each(take: Callable[[str], None]) -> Callable[[Iterator[str]], None]:
    def take_all(lines: Iterator[str]) -> None:
        for line in lines:
            take(line)

    return take_all


def messages(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """(channel, message) of what `redis-cli SUBSCRIBE` prints to a pipe: each word on a line of its own."""
    for line in lines:
        if line.strip() == "message":
            channel, message = next(lines, ""), next(lines, "")
            yield channel.strip(), message.strip()


def sentence(channel: str, message: str, *, names: Mapping[str, str]) -> str | None:
    """What a sentinel's message means for a person; None for what does not concern the master.

    `+odown`: "master NAME ADDRESS PORT #quorum N/M" · `+switch-master`: "NAME OLD PORT NEW PORT".
    """
    words = message.split()
    if channel == "+odown" and len(words) >= 4 and words[0] == "master":
        return f"a quorum holds {names.get(words[2], words[2])} for down"
    if channel == "+switch-master" and len(words) == 5:
        return f"the master is {names.get(words[3], words[3])}"
    return None
