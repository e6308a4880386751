"""Data pods and sentinel pods without a cluster: the very scripts and real servers on loopback.

Each pod has its address (127.x.y.z), its volume and its run directory, and runs its start script in a shell of choice
with a PATH that holds nothing but that shell's own tools.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis

if TYPE_CHECKING:
    from tests.component.gate.groups import Group

TEMPLATES: Final = Path(__file__).parents[3] / "operator" / "contex_operator" / "templates"
SCRIPTS: Final = (
    "lib.sh",
    "start-redis.sh",
    "stop-redis.sh",
    "start-sentinel.sh",
    "ready-redis.sh",
    "live-redis.sh",
    "live-sentinel.sh",
)
REDIS_PORT: Final = 21379
SENTINEL_PORT: Final = 22379
MASTER_NAME: Final = "mymaster"
DOWN_AFTER_MS: Final = 1200
FAILOVER_TIMEOUT_MS: Final = 4000

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T], within_s: float = 30.0) -> T:
    """The first truthy answer of `look`; an AssertionError with the last answer after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    seen: object = None
    while time.monotonic() < deadline:
        try:
            answer = look()
        except (redis.RedisError, OSError) as error:
            seen = repr(error)
        else:
            if answer:
                return answer
            seen = answer
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {what}; last seen: {seen}")


@dataclass(frozen=True)
class Shell:
    """A way to run the scripts: `command` before the script's path, and the PATH it finds its tools in."""

    name: str
    command: tuple[str, ...]
    path: str


@dataclass
class Pod:
    """One pod; its container can be started, ended and started anew on the same volume."""

    group: Group
    kind: str  # "data" or "sentinel"
    name: str
    address: str
    myid: str = ""
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)
    user: int | None = None  # the container's user, None = whoever runs the tests

    @property
    def home(self) -> Path:
        return self.group.root / self.name

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def log_path(self) -> Path:
        return self.home / "log"

    @property
    def port(self) -> int:
        return REDIS_PORT if self.kind == "data" else SENTINEL_PORT

    @property
    def label(self) -> str:
        """The pod as the scripts' sentences spell it."""
        return f"{self.name} ({self.address})"

    # --- the container

    def environment(self) -> dict[str, str]:
        return {
            "POD_NAME": self.name,
            "PATH": f"{self.group.config}/bin:{self.group.shell.path}",
            "CONTEX_DIR": str(self.group.config),
            "AUTH_DIR": str(self.group.auth),
            "DATA_DIR": str(self.data),
            "RUN_DIR": str(self.run),
            "REDIS_PORT": str(REDIS_PORT),
            "SENTINEL_PORT": str(SENTINEL_PORT),
            "BIND": self.address,
            "LOG_TO": str(self.log_path),
        } | self.env

    def start(self) -> Pod:
        """Starts the container: an empty run directory is what a new one has, the volume stays."""
        assert self.process is None, f"{self.name} is running already"
        self.data.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(exist_ok=True)
        # What it said before is no answer to what a test asks now.
        (self.run / "state").unlink(missing_ok=True)
        script = "start-redis.sh" if self.kind == "data" else "start-sentinel.sh"
        with self.log_path.open("ab") as log:
            self._log_from = log.tell()
            self.process = subprocess.Popen(
                [*self.group.shell.command, str(self.group.config / script)],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
                # Whoever runs the tests may ignore SIGINT (a job in the background does); a container does not.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
        return self

    def kill(self) -> None:
        """kill -9 of everything in the container, as a crash of its first process ends all of them."""
        if self.process is None:
            return
        self.process.kill()
        eventually(f"all processes of {self.name} end", lambda: not self._kill_all())
        self.process.wait(10)
        self.process = None

    def _kill_all(self) -> list[int]:
        """What still lived; a process that is just being born is met in the next round."""
        found = self.pids()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    def term(self) -> int:
        """TERM to the first process, as the kubelet sends it; the container's exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(15)
        self.process = None
        return status

    def pids(self) -> list[int]:
        """All living processes of the container: those of the session that it started."""
        found = []
        sid = self._session
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(stat[3]) == sid and stat[0] not in "ZX":
                        found.append(int(entry.name))
        return found

    @property
    def _session(self) -> int:
        assert self.process is not None or self._last_pid
        if self.process is not None:
            self._last_pid = self.process.pid
        return self._last_pid

    _last_pid: int = 0
    _log_from: int = 0

    def server_pid(self) -> int:
        """The pid of redis-server, 0 while there is none."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if (Path("/proc") / str(pid) / "comm").read_text().strip() == "redis-server":
                    return pid
        return 0

    def script(self, name: str) -> tuple[int, str]:
        """Runs a probe as the kubelet does; its exit status and what it printed."""
        done = subprocess.run(
            [*self.group.shell.command, str(self.group.config / name)],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=15,
            check=False,
        )
        return done.returncode, done.stdout.decode().strip()

    def is_ready(self) -> bool:
        """One run of the readiness probe, with all that it does besides."""
        return self.script("ready-redis.sh")[0] == 0

    def watch_cli(self, hook: str = "", *, before: str = "") -> None:
        """From the next start on, each call of redis-cli by the scripts is written to `calls`; then `hook` runs.

        `before` runs before the call. Both are sh; `$*` are the call's arguments, `$again` how often a call with
        these words came before.
        """
        shim = self.home / "shim"
        shim.mkdir(parents=True, exist_ok=True)
        real = shutil.which("redis-cli")
        assert real is not None
        (shim / "redis-cli").write_text(
            "#!/bin/sh\n"
            f"cd {shim}\n"
            "given=${REDISCLI_AUTH-}\n"
            "unset REDISCLI_AUTH\n"
            f'quiet() {{ {real} "$@" >/dev/null 2>&1 </dev/null; }}\n'
            f"cli() {{ REDISCLI_AUTH='{self.group.password}' quiet -p {REDIS_PORT} \"$@\"; }}\n"
            f"sentinel() {{ REDISCLI_AUTH='{self.group.sentinel_password}' quiet -p {SENTINEL_PORT} \"$@\"; }}\n"
            'again=$(grep -cF -- " $*" calls 2>/dev/null)\n'
            "again=${again:-0}\n"
            "begun=$(/usr/bin/date +%s.%N)\n"
            f"{before}\n"
            f'if [ -n "$given" ]; then REDISCLI_AUTH=$given {real} "$@"; else {real} "$@"; fi\n'
            "status=$?\n"
            'echo "$(/usr/bin/date +%s.%N) $begun $*" >>calls\n'
            f"{hook}\n"
            "exit $status\n"
        )
        (shim / "redis-cli").chmod(0o755)
        self.env["PATH"] = f"{shim}:{self.group.shell.path}"

    def calls(self, *words: str) -> list[float]:
        """When calls of redis-cli by the scripts with all of these words ended, in seconds since the epoch."""
        return [ended for ended, _ in self.spans(*words)]

    def spans(self, *words: str) -> list[tuple[float, float]]:
        """The same calls: when each ended, and when it began."""
        path = self.home / "shim" / "calls"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(float(ended), float(begun)) for ended, begun, *rest in lines if set(words) <= set(rest)]

    # --- what can be seen of it

    def log(self) -> str:
        """What the container has written since its last start."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[self._log_from :].decode(errors="replace")

    def opinions(self) -> list[str]:
        """The scripts' own lines of the log, without their times."""
        return [
            line.split("contex-redis: ", 1)[1] for line in self.log().splitlines() if "contex-redis: " in line
        ]

    def state(self) -> str:
        """The gate's present sentence."""
        path = self.run / "state"
        return path.read_text().strip() if path.exists() else ""

    def client(self, *, socket: bool = False) -> Any:
        """A client of its own connection; over the unix socket it also reaches a server whose port is closed."""
        password = self.group.password if self.kind == "data" else self.group.sentinel_password
        if socket:
            return redis.Redis(
                unix_socket_path=str(self.run / "redis.sock"),
                password=password,
                decode_responses=True,
                socket_timeout=2,
            )
        return redis.Redis(
            self.address,
            self.port,
            password=password,
            decode_responses=True,
            socket_timeout=2,
            socket_connect_timeout=0.5,
        )

    def ask(self, *command: str | int, socket: bool = False) -> Any:
        with contextlib.closing(self.client(socket=socket)) as client:
            return client.execute_command(*command)

    def info(self, *, socket: bool = False) -> dict[str, Any]:
        with contextlib.closing(self.client(socket=socket)) as client:
            return dict(client.info("everything"))

    def config(self, directive: str, *, socket: bool = False) -> str:
        name, value = self.ask("CONFIG", "GET", directive, socket=socket)
        assert name == directive
        return str(value)

    def recorded(self) -> dict[str, str]:
        """The state file on the volume."""
        return dict(line.split("=", 1) for line in (self.data / "contex-state").read_text().splitlines())

    def role(self, *, socket: bool = True) -> str:
        """master, slave, or what keeps it from answering."""
        try:
            return str(self.info(socket=socket)["role"])
        except (redis.RedisError, OSError) as error:
            return type(error).__name__

    def port_is_open(self) -> bool:
        """Whether anybody listens; a client of redis-py would try for seconds until it says no."""
        try:
            socket.create_connection((self.address, self.port), timeout=0.5).close()
        except OSError:
            return False
        return True

    def view(self) -> dict[str, str]:
        """Of a sentinel: the fields of SENTINEL MASTER."""
        return as_fields(self.ask("SENTINEL", "MASTER", MASTER_NAME))

    def master(self) -> tuple[str, int] | None:
        """Of a sentinel: address and config-epoch of the master it names, None while it monitors nothing."""
        try:
            fields = self.view()
        except redis.ResponseError as error:
            if "No such master" in str(error):
                return None
            raise
        return fields["ip"], int(fields["config-epoch"])

    def edit(self, old: str, new: str) -> None:
        """Of a sentinel that does not run: changes its memory."""
        path = self.data / "sentinel.conf"
        text = path.read_text()
        assert old in text, text
        path.write_text(text.replace(old, new))

    def drop_lines(self, words: str) -> None:
        """Of a sentinel that does not run: it has never heard of that."""
        path = self.data / "sentinel.conf"
        path.write_text("".join(line for line in path.read_text().splitlines(True) if words not in line))

    def flags_of(self, address: str) -> str | None:
        """Of a sentinel: the flags of a replica it knows."""
        replicas = [as_fields(entry) for entry in self.ask("SENTINEL", "REPLICAS", MASTER_NAME)]
        return next((fields["flags"] for fields in replicas if fields["ip"] == address), None)


def as_fields(reply: list[str]) -> dict[str, str]:
    """A flat reply of names and values."""
    return dict(zip(reply[::2], reply[1::2], strict=True))
