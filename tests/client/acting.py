"""Runs `actor.py` as a process with a chosen Python and redis-py, and reads what it says."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.client.versions import PROJECT, Python, redis_py
from tests.workload.loopback import LoopbackSet, within
from tests.workload.writers import Access

SECRETS: Final = Access("geheim/eins:@", "geheim zwei")
IN_A_URL: Final = "geheim%2Feins%3A%40"
SHIM: Final = PROJECT / "client" / "shim"
_ACTOR: Final = PROJECT / "tests" / "client" / "actor.py"


class Actor:
    """One process. `wait_for_writes` before a fault, `stop` at the end, then `writes`, `heard` and `metrics`."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        env: Mapping[str, str],
        python: Python,
        redis_major: str,
        with_shim: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._said, self._log = folder / "said", folder / "log"
        path = [*([SHIM] if with_shim else []), redis_py(redis_major), PROJECT / "client"]
        with self._said.open("wb") as said, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*python.argv, str(_ACTOR), *arguments],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=log,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join(map(str, path)),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **python.env,
                    **env,
                },
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    @property
    def log(self) -> str:
        """What it has logged, and its traceback if it died."""
        return self._log.read_text()

    @property
    def said(self) -> list[dict[str, Any]]:
        """All whole lines that it has printed so far."""
        text = self._said.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    @property
    def writes(self) -> list[dict[str, Any]]:
        """Every write whose end is known."""
        return [each for each in self.said if "value" in each]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The writes that failed."""
        return [each for each in self.writes if each["error"] is not None]

    @property
    def heard(self) -> list[str]:
        """What the subscription has received."""
        return [each["heard"] for each in self.said if each.get("heard")]

    def wait_for_writes(self, count: int, *, after: float = 0.0, within_s: float = 60) -> None:
        """Until `count` writes have been acknowledged at or after that instant of the monotonic clock."""

        def enough() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the actor ended with exit code {self.process.returncode}: {self.log}")
            return len([1 for each in self.writes if each["error"] is None and each["at"] >= after]) >= count

        within(within_s, enough, what=f"{count} writes")

    def stop(self) -> None:
        """Let it end by itself after the write that is under way."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0, self.log


def by_sentinels(redis_set: LoopbackSet, **more: str) -> dict[str, str]:
    """The contract's variables for a set, in sentinel mode."""
    return {
        "REDIS_MODE": "sentinel",
        "REDIS_SENTINEL_HOSTS": redis_set.sentinel_addresses,
        "REDIS_PASSWORD": str(SECRETS.password),
        "REDIS_SENTINEL_PASSWORD": str(SECRETS.sentinel_password),
        "REDIS_SOCKET_TIMEOUT": "1",
        "REDIS_SOCKET_CONNECT_TIMEOUT": "1",
        **more,
    }


def by_url(address: str, **more: str) -> dict[str, str]:
    """The same in standalone mode, for one address."""
    return {"REDIS_URL": f"redis://:{IN_A_URL}@{address}:6379", "REDIS_SOCKET_TIMEOUT": "1", **more}


def values_in(redis_set: LoopbackSet) -> list[str]:
    """What the present master holds of all actors' writes, once there is one."""
    within(60, redis_set.master, what="one master")
    master = redis_set.master()
    assert master is not None
    return [fields["value"] for _, fields in master.command("XRANGE", "actor", "-", "+")]


def now() -> float:
    """The clock that the actor's lines carry: the machine's, the same in every process."""
    return time.monotonic()
