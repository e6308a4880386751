"""Real redis-servers and sentinels on loopback addresses: a whole set in two seconds, without a cluster.

Each set takes a /24 of 127.0.0.0/8 of its own, so several can run side by side on the usual ports. Every
process that is started here is ended here, by its own id.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import redis

from tests.workload.reading import connect
from tests.workload.writers import Access

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
MASTER_NAME: Final = "mymaster"
_STARTS_WITHIN_S: Final = 60.0


@dataclass
class Node:
    """One redis-server process; `client` has a deadline on every call."""

    name: str
    address: str
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)
    client: redis.Redis = field(repr=False)

    def info(self) -> dict[str, Any]:
        """INFO replication."""
        return cast("dict[str, Any]", self.client.info("replication"))

    def command(self, *words: str | int) -> Any:
        """Any command. Raises redis.RedisError."""
        return cast("Any", self.client).execute_command(*words)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait()


class LoopbackSet:
    """One master, `replicas` replicas and three sentinels, settled when the context is entered.

    `folder` takes their data and logs. Nodes are called node-0 (the first master), node-1, …
    """

    def __init__(
        self,
        folder: Path,
        *,
        replicas: int = 2,
        down_after_ms: int = 2000,
        failover_timeout_ms: int = 10_000,
        access: Access | None = None,
    ) -> None:
        self._folder = folder
        self._replicas = replicas
        self._down_after_ms, self._failover_timeout_ms = down_after_ms, failover_timeout_ms
        self._access = access or Access()
        self._net = ""
        self._claim: socket.socket | None = None
        self.nodes: list[Node] = []
        self.sentinels: list[Node] = []

    def __enter__(self) -> Self:
        self._net, self._claim = _claim_net()
        try:
            self.nodes = [
                self._start(f"node-{i}", host=i + 1, master=i == 0) for i in range(self._replicas + 1)
            ]
            within(_STARTS_WITHIN_S, self._replicas_are_synced, what="the replicas are synced")
            self.sentinels = [self._start_sentinel(i) for i in range(3)]
            within(_STARTS_WITHIN_S, self._sentinels_are_whole, what="the sentinels know each other")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def sentinel_addresses(self) -> str:
        """As `--sentinels` takes them."""
        return ",".join(f"{s.address}:{s.port}" for s in self.sentinels)

    def named_master(self, sentinel: Node) -> str:
        """The address that one sentinel names."""
        return str(sentinel.command("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER_NAME)[0])

    def master(self) -> Node | None:
        """The one node that says master, or None while none or several do."""
        masters = [n for n in self.nodes if n.process.poll() is None and n.info()["role"] == "master"]
        return masters[0] if len(masters) == 1 else None

    def by_address(self, address: str) -> Node:
        """The data node at this address."""
        return next(node for node in self.nodes if node.address == address)

    def restart(self, node: Node) -> None:
        """Start a dead data node again on its data, as a replica of what the first sentinel names."""
        target = self.named_master(self.sentinels[0])
        fresh = self._start(node.name, host=int(node.address.rsplit(".", 1)[1]), master=False, of=target)
        node.process, node.client = fresh.process, fresh.client

    def _replicas_are_synced(self) -> bool:
        return int(self.nodes[0].info()["connected_slaves"]) == self._replicas and all(
            node.info()["master_link_status"] == "up" for node in self.nodes[1:]
        )

    def _sentinels_are_whole(self) -> bool:
        states = [s.command("SENTINEL MASTER", MASTER_NAME) for s in self.sentinels]
        return all(
            s["num-other-sentinels"] == 2 and s["num-slaves"] == self._replicas and s["flags"] == "master"
            for s in states
        )

    def _start(self, name: str, *, host: int, master: bool, of: str | None = None) -> Node:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        address = f"{self._net}.{host}"
        lines = [
            f"dir {folder}",
            "appendonly yes",
            "appendfsync no",
            'save ""',
            "repl-diskless-sync-delay 0",
            f"replica-announce-ip {address}",  # connections start at 127.0.0.1
        ]
        if self._access.password:
            lines += [f'requirepass "{self._access.password}"', f'masterauth "{self._access.password}"']
        if not master:
            lines.append(f"replicaof {of or f'{self._net}.1'} {REDIS_PORT}")
        return self._run(name, address=address, port=REDIS_PORT, folder=folder, lines=lines)

    def _start_sentinel(self, number: int) -> Node:
        name = f"sentinel-{number}"
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        address = f"{self._net}.{101 + number}"
        lines = [
            f"dir {folder}",
            f"sentinel announce-ip {address}",
            f"sentinel monitor {MASTER_NAME} {self._net}.1 {REDIS_PORT} 2",
            f"sentinel down-after-milliseconds {MASTER_NAME} {self._down_after_ms}",
            f"sentinel failover-timeout {MASTER_NAME} {self._failover_timeout_ms}",
            f"sentinel parallel-syncs {MASTER_NAME} 1",
        ]
        if self._access.password:
            lines.append(f'sentinel auth-pass {MASTER_NAME} "{self._access.password}"')
        if self._access.sentinel_password:
            lines += [
                f'requirepass "{self._access.sentinel_password}"',
                f'sentinel sentinel-pass "{self._access.sentinel_password}"',
            ]
        return self._run(name, address=address, port=SENTINEL_PORT, folder=folder, lines=lines, sentinel=True)

    def _run(
        self, name: str, *, address: str, port: int, folder: Path, lines: list[str], sentinel: bool = False
    ) -> Node:
        config = folder / ("sentinel.conf" if sentinel else "redis.conf")
        common = [f"bind {address}", f"port {port}", "protected-mode no", f"logfile {folder}/log"]
        config.write_text("\n".join([*common, *lines]) + "\n")
        process = subprocess.Popen(
            ["redis-server", str(config), *(["--sentinel"] if sentinel else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        password = self._access.sentinel_password if sentinel else self._access.password
        node = Node(name, address, port, process, connect(address, port, password=password))
        try:
            within(_STARTS_WITHIN_S, lambda: _answers(node), what=f"{name} at {address}:{port} answers")
        except BaseException:
            process.kill()
            process.wait()
            raise
        return node

    def _end(self) -> None:
        everything = [*self.sentinels, *self.nodes]
        for node in everything:
            node.client.close()
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)  # a stopped one would not notice its end
                node.process.kill()
        for node in everything:
            node.process.wait()
        if self._claim is not None:
            self._claim.close()


def within(seconds: float, holds: Callable[[], object], *, what: str) -> None:
    """Poll `holds` until it is true. Raises TimeoutError that says `what` did not come true, and the last
    answer.

    An answer that is an exception of redis-py counts as "not yet".
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object
        try:
            last = holds()
        except redis.RedisError as error:
            last = error
        else:
            if last:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}; last seen: {last!r}")
        time.sleep(0.02)


def _answers(node: Node) -> bool:
    if node.process.poll() is not None:
        raise RuntimeError(f"{node.name} ended with exit code {node.process.returncode}")
    return bool(node.client.ping())


def _claim_net() -> tuple[str, socket.socket]:
    """A /24 of loopback for oneself, and the bound socket that claims it as long as it is open."""
    for second in range(64, 127):
        for third in range(1, 255):
            net = f"127.{second}.{third}"
            claim = socket.socket()
            try:
                claim.bind((f"{net}.254", REDIS_PORT))
            except OSError:
                claim.close()
                continue
            return net, claim
    raise RuntimeError("no free loopback network: all of 127.64.0.0/10 is taken by other sets")
