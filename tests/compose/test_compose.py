"""docker-compose.sentinel.yml: what it says, and the whole of it run for real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.engine import Engine, until
from tests.compose.made import DATA, FILE, FOLDER, SENTINELS, addresses, files

COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())


def test_the_guides_services_are_all_there() -> None:
    assert {*DATA, *SENTINELS, "contex"} <= set(COMPOSE["services"])
    for name in (*DATA, *SENTINELS, "contex"):
        assert COMPOSE["services"][name]["container_name"] == name  # docker exec sentinel-1 …
    environment = COMPOSE["services"]["contex"]["environment"]
    assert environment["REDIS_MODE"] == "sentinel"
    assert environment["REDIS_SENTINEL_HOSTS"] == ",".join(f"{name}:26379" for name in SENTINELS)
    assert environment["REDIS_SENTINEL_MASTER"] == "mymaster"
    assert {f"{name}-data" for name in (*DATA, *SENTINELS)} < set(COMPOSE["volumes"])


def test_every_member_has_an_address_of_its_own_and_its_volume() -> None:
    known = addresses()
    assert len(set(known.values())) == 6
    for name in known:
        service = COMPOSE["services"][name]
        assert service["environment"]["POD_NAME"] == name
        assert f"{name}-data:/data" in service["volumes"]


def test_every_mounted_file_is_there() -> None:
    for name, service in COMPOSE["services"].items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert not source.startswith("./") or (FILE.parent / source).is_file(), f"{name}: {source}"


@pytest.mark.parametrize("name", ["redis.conf", "settings", "members"])
def test_the_files_are_what_the_operator_gives_its_pods(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "run: python -m tests.compose.made"


def test_no_password_stands_in_a_file() -> None:
    text = FILE.read_text() + "".join(path.read_text() for path in FOLDER.iterdir())
    assert "requirepass" not in text
    assert "REDIS_PASSWORD" not in COMPOSE["services"]["contex"]["environment"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path) as running:
        running.compose("up", "-d")
        yield running


class Contex:
    """The API as people use it, from within its container."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.acknowledged = 0

    def publish(self) -> str:
        """One more write; empty where it was acknowledged, else what came instead."""
        body = {"project_id": "shop", "data_key": "k", "data": {"n": self.acknowledged}}
        said = self._ask("/api/v1/data/publish", body)
        if "sequence" not in said:
            return said or "no answer"
        self.acknowledged += 1
        return ""

    def events(self) -> int:
        return len(json.loads(self._ask("/api/v1/projects/shop/events?since=0&count=1000", None))["events"])

    def _ask(self, path: str, body: Any) -> str:
        program = (
            "import json, sys, urllib.request as r\n"
            "body = sys.argv[2].encode() if sys.argv[2] != 'null' else None\n"
            "q = r.Request('http://127.0.0.1:8001' + sys.argv[1], body, {'Content-Type': 'application/json'})\n"
            "print(r.urlopen(q, timeout=8).read().decode())\n"
        )
        return self._engine.exec("contex", "python", "-c", program, path, json.dumps(body))


def master(engine: Engine) -> str:
    """The container that sentinel-1 names, empty where it names none."""
    words = ("redis-cli", "-p", "26379", "SENTINEL", "get-master-addr-by-name", "mymaster")
    address = engine.exec("sentinel-1", *words).split("\n")[0]
    return {known: name for name, known in addresses().items()}.get(address, "")


def is_replica(engine: Engine, container: str) -> str:
    info = engine.exec(container, "redis-cli", "INFO", "replication")
    return "" if "role:slave" in info and "master_link_status:up" in info else info or "no answer"


def keys(engine: Engine, container: str) -> int:
    return int(engine.exec(container, "redis-cli", "XLEN", "project:shop:events"))


@pytest.mark.slow
def test_from_up_through_crashes_and_down_and_up_again(engine: Engine) -> None:
    contex = Contex(engine)
    until("Contex writes", contex.publish, within_s=120)
    assert "Connected to Redis via Sentinel | master_name=mymaster master_host=" in engine.podman(
        "logs", "contex"
    )
    first = master(engine)
    assert first == "redis-master"
    assert "num-other-sentinels\n2" in engine.exec(
        "sentinel-1", "redis-cli", "-p", "26379", "SENTINEL", "masters"
    )
    # Whoever has no password is turned away, and nobody finds one in a command line.
    assert "NOAUTH" in engine.exec(first, "sh", "-c", "REDISCLI_AUTH= redis-cli PING")
    password = engine.exec(first, "cat", "/etc/contex-redis/auth/password")
    assert len(password) == 48
    assert password not in engine.exec(first, "sh", "-c", "cat /proc/[0-9]*/cmdline")
    for _ in range(20):
        assert contex.publish() == ""
    for name in DATA:
        until(f"{name} is healthy", lambda name=name: healthy(engine, name), within_s=30)

    # A crash of the master: another one takes over, and the old one follows it.
    engine.podman("kill", "--signal=KILL", first)
    until("a failover", lambda: "" if master(engine) not in ("", first) else "none", within_s=30)
    until("Contex writes after the crash", contex.publish, within_s=30)
    engine.podman("start", first)
    until(f"{first} follows", lambda: is_replica(engine, first), within_s=30)
    assert contex.events() == contex.acknowledged

    # A master that comes back with an empty volume wipes nobody.
    second = master(engine)
    engine.podman("kill", "--signal=KILL", second)
    engine.empty(f"{second}-data")
    engine.podman("start", second)
    until(f"{second} follows", lambda: is_replica(engine, second), within_s=60)
    until("Contex writes after the loss of a volume", contex.publish, within_s=30)
    assert contex.events() == contex.acknowledged
    until("the copies are equal", lambda: unequal(engine, contex.acknowledged), within_s=30)

    # Everything stopped and started again: the data are there.
    engine.compose("down")
    engine.compose("up", "-d")
    until("Contex writes again", contex.publish, within_s=120)
    assert contex.events() == contex.acknowledged


def healthy(engine: Engine, name: str) -> str:
    """podman runs healthchecks by systemd only: it is run here as Docker would."""
    said = engine.podman("healthcheck", "run", name, check=False)
    state = engine.podman("inspect", "--format", "{{.State.Health.Status}}", name).strip()
    return "" if state == "healthy" else said + state


def unequal(engine: Engine, count: int) -> str:
    found = {name: keys(engine, name) for name in DATA}
    return "" if set(found.values()) == {count} else str(found)
