"""A group of pods: what the operator makes of one resource, without a cluster.

A `Group` has a ConfigMap directory with the very scripts, `settings` and `members`, a Secret directory, and pods at
addresses of their own on loopback. Sentinel takes nobody for down unless the group is `brisk`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import redis

from tests.component.gate.pods import (
    DOWN_AFTER_MS,
    FAILOVER_TIMEOUT_MS,
    MASTER_NAME,
    REDIS_PORT,
    SCRIPTS,
    SENTINEL_PORT,
    TEMPLATES,
    Pod,
    Shell,
    eventually,
)


class Group:
    """All pods of one resource, and the ConfigMap and Secret that they mount."""

    def __init__(self, root: Path, shell: Shell, net: str, *, data: int = 3, sentinels: int = 3) -> None:
        self.root = root
        self.shell = shell
        self.password: str | None = "data password"
        self.sentinel_password: str | None = "sentinel password"
        self.settings: dict[str, str | int] = {
            "MODE": "sentinel",
            "MASTER_NAME": MASTER_NAME,
            "QUORUM": sentinels // 2 + 1,
            "DOWN_AFTER_MS": 600_000,
            "FAILOVER_TIMEOUT_MS": FAILOVER_TIMEOUT_MS,
            "PARALLEL_SYNCS": 1,
        }
        self.redis_conf = 'appendonly yes\nappendfsync everysec\nsave ""\nrepl-diskless-sync-delay 0\n'
        self.data = [
            Pod(self, "data", "redis-master-0" if i == 0 else f"redis-replica-{i - 1}", f"{net}.{i + 1}")
            for i in range(data)
        ]
        self.sentinels = []
        for i in range(sentinels):
            name = f"redis-sentinel-{i}"
            myid = hashlib.sha1(f"{root}/{name}".encode(), usedforsecurity=False).hexdigest()
            self.sentinels.append(Pod(self, "sentinel", name, f"{net}.{i + 101}", myid))
        self.extras: list[subprocess.Popen[bytes]] = []
        shutil.rmtree(root, ignore_errors=True)
        self.config.mkdir(parents=True)
        (self.config / "bin").mkdir()
        for script in SCRIPTS:
            shutil.copy(TEMPLATES / script, self.config / script)
        for name in ("redis-cli", "valkey-cli"):
            shutil.copy(TEMPLATES / "redis-cli", self.config / "bin" / name)
            (self.config / "bin" / name).chmod(0o555)
        self.write()

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def auth(self) -> Path:
        return self.root / "auth"

    @property
    def pods(self) -> list[Pod]:
        return [*self.data, *self.sentinels]

    def write(self) -> None:
        """Writes what the pods mount, as the operator would."""
        replace(self.config / "settings", "".join(f"{key}={value}\n" for key, value in self.settings.items()))
        lines = [f"data {pod.name} {pod.address}" for pod in self.data]
        lines += [f"sentinel {pod.name} {pod.address} {pod.myid}" for pod in self.sentinels]
        self.write_members(lines)
        replace(self.config / "redis.conf", self.redis_conf)
        self.auth.mkdir(exist_ok=True)
        for file, password in (("password", self.password), ("sentinel-password", self.sentinel_password)):
            (self.auth / file).unlink(missing_ok=True)
            if password is not None:
                (self.auth / file).write_text(password)

    def write_members(self, lines: Sequence[str]) -> None:
        replace(self.config / "members", "\n".join(lines) + "\n")

    # --- what stands in for an earlier life of the group

    def remember(self, master: Pod, *, epoch: int = 3, sentinels: Sequence[Pod] | None = None) -> None:
        """Gives sentinels the memory of a group in which `master` is master, as they would have written it."""
        for pod in self.sentinels if sentinels is None else sentinels:
            pod.data.mkdir(parents=True, exist_ok=True)
            lines = [
                f"port {SENTINEL_PORT}",
                f"sentinel myid {pod.myid}",
                f'sentinel announce-ip "{pod.address}"',
                f"sentinel monitor {MASTER_NAME} {master.address} {REDIS_PORT} {self.settings['QUORUM']}",
                f"sentinel config-epoch {MASTER_NAME} {epoch}",
                f"sentinel leader-epoch {MASTER_NAME} {epoch}",
                *(
                    f"sentinel known-replica {MASTER_NAME} {other.address} {REDIS_PORT}"
                    for other in self.data
                    if other is not master
                ),
                *(
                    f"sentinel known-sentinel {MASTER_NAME} {other.address} {SENTINEL_PORT} {other.myid}"
                    for other in self.sentinels
                    if other is not pod
                ),
                f"sentinel current-epoch {epoch}",
            ]
            (pod.data / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def give_data(self, pod: Pod, *, keys: int = 50, size: int = 10) -> None:
        """Puts a complete data set on the pod's volume, as a server that ended in peace leaves it."""
        pod.data.mkdir(parents=True, exist_ok=True)
        with self.plain(pod, directory=pod.data), contextlib.closing(pod.client()) as client:
            for i in range(keys):
                client.set(f"key:{i}", f"value {i} " + os.urandom(size).hex())
        (pod.data / "contex-initialised").touch()

    @contextlib.contextmanager
    def plain(self, pod: Pod, *, directory: Path | None = None) -> Iterator[Pod]:
        """A redis-server without any gate at a pod's address: whatever it shall say is said to it by command."""
        where = directory or self.root / f"plain-{pod.name}"
        where.mkdir(parents=True, exist_ok=True)
        arguments = ["redis-server", "--port", str(REDIS_PORT), "--bind", pod.address, "--dir", str(where)]
        arguments += [
            "--appendonly",
            "yes" if directory else "no",
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]
        arguments += ["--replica-announce-ip", pod.address]
        config = where / "plain.conf"
        password = (
            f'requirepass "{self.password}"\nmasterauth "{self.password}"\n'
            if self.password
            else "protected-mode no\n"
        )
        config.write_text(password)
        with (self.root / f"plain-{pod.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [arguments[0], str(config), *arguments[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.extras.append(process)
        try:
            eventually("a plain redis-server answers", lambda: pod.ask("PING"))
            yield pod
        finally:
            process.terminate()
            process.wait(15)
            config.unlink(missing_ok=True)

    # --- what the operator would do by command

    def make_master(self, master: Pod) -> None:
        """A bootstrap or a cold start: one becomes master, the others follow, the sentinels are told."""
        master.ask("REPLICAOF", "NO", "ONE")
        for pod in self.data:
            if pod is not master and pod.process is not None:
                pod.ask("REPLICAOF", master.address, REDIS_PORT)
        for sentinel in self.sentinels:
            if sentinel.process is not None:
                self.monitor(sentinel, master)

    def monitor(self, sentinel: Pod, master: Pod) -> None:
        """SENTINEL MONITOR with all settings; one that has learned from its peers meanwhile is left alone."""
        try:
            sentinel.ask(
                "SENTINEL", "MONITOR", MASTER_NAME, master.address, REDIS_PORT, self.settings["QUORUM"]
            )
        except (redis.ResponseError, redis.ConnectionError):
            eventually(f"{sentinel.name} has learned it", lambda: sentinel.master() is not None)
            return
        for key, value in (
            ("down-after-milliseconds", self.settings["DOWN_AFTER_MS"]),
            ("failover-timeout", self.settings["FAILOVER_TIMEOUT_MS"]),
            ("auth-pass", self.password or ""),
        ):
            sentinel.ask("SENTINEL", "SET", MASTER_NAME, key, value)

    # --- life

    def start(self, *pods: Pod) -> Group:
        for pod in pods or self.pods:
            pod.start()
        return self

    def form(self, *, keys: int = 50) -> Group:
        """A healthy group: data on the first pod, everybody else follows, all Ready, all sentinels agreed."""
        self.remember(self.data[0])
        self.give_data(self.data[0], keys=keys)
        self.start()
        self.wait_ready(*self.data)
        self.wait_written(*self.data)
        eventually(
            "all sentinels see both replicas up", lambda: all(self.sees_all(s) for s in self.sentinels)
        )
        return self

    def brisk(self) -> Group:
        """Sentinel takes for down what does not answer for DOWN_AFTER_MS; without it, nobody ever."""
        self.settings["DOWN_AFTER_MS"] = DOWN_AFTER_MS
        self.write()
        return self

    def down_after(self, milliseconds: int) -> None:
        """Sets it on the running sentinels."""
        for sentinel in self.sentinels:
            sentinel.ask("SENTINEL", "SET", MASTER_NAME, "down-after-milliseconds", milliseconds)

    def hurry(self) -> None:
        """`brisk` from now on, for the sentinels that run."""
        self.down_after(DOWN_AFTER_MS)

    def start_sentinels(self) -> None:
        """Starts them, and waits until each names a master."""
        self.start(*self.sentinels)
        for sentinel in self.sentinels:
            eventually(f"{sentinel.name} names a master", sentinel.master)

    @contextlib.contextmanager
    def plain_replicas(self) -> Iterator[tuple[Pod, Pod]]:
        """B and C without a gate: replicas of nobody that Sentinel must not choose."""
        with self.plain(self.data[1]) as b, self.plain(self.data[2]) as c:
            for pod in (b, c):
                pod.ask("CONFIG", "SET", "replica-priority", 0)
                pod.ask("REPLICAOF", "127.0.0.1", 1)
            yield b, c

    def named(self) -> str | None:
        """The master's address that all running sentinels name with one config-epoch, None where they differ."""
        views = {pod.master() for pod in self.sentinels if pod.process is not None}
        if len(views) != 1:
            return None
        (view,) = views
        return view[0] if view is not None else None

    def sees_all(self, sentinel: Pod) -> bool:
        named = sentinel.master()
        others = [pod.address for pod in self.data if named is None or pod.address != named[0]]
        return named is not None and all(sentinel.flags_of(address) == "slave" for address in others)

    def wait_ready(self, *pods: Pod, within_s: float = 30) -> None:
        """Runs the readiness probe of each until it passes: it is what raises priorities and keeps the books."""
        for pod in pods:
            eventually(f"{pod.name} is Ready", partial(self._is_ready, pod), within_s)

    def wait_written(self, *pods: Pod, within_s: float = 30) -> None:
        """Until the append-only file of each holds what it holds in memory: that ends a while after the sync."""
        for pod in pods:
            eventually(
                f"the disk of {pod.name} is up to date",
                lambda pod=pod: pod.is_ready() and not (pod.data / "contex-unsynced").exists(),  # type: ignore[misc]
                within_s,
            )

    def _is_ready(self, pod: Pod) -> bool:
        status, why = pod.script("ready-redis.sh")
        if status != 0:
            raise OSError(f"{pod.name} says: {why}")  # for the failure's message
        return True

    def keys(self, pod: Pod) -> dict[str, str]:
        """All of a data pod's keys and values."""
        names = sorted(pod.ask("KEYS", "*"))
        return dict(zip(names, pod.ask("MGET", *names), strict=True)) if names else {}

    def same_keys(self) -> bool:
        """Whether all running data pods hold the same."""
        views = [self.keys(pod) for pod in self.data if pod.process is not None]
        return all(view == views[0] for view in views)

    def masters(self) -> list[Pod]:
        """All data pods that say role:master, whether or not their port is open."""
        return [pod for pod in self.data if pod.process is not None and pod.role() == "master"]

    def end(self) -> None:
        for pod in self.pods:
            pod.kill()
        for process in self.extras:
            if process.poll() is None:
                process.kill()
                process.wait(10)


def replace(path: Path, text: str) -> None:
    """Writes a file in one step, as a ConfigMap's refresh does."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.rename(path)
