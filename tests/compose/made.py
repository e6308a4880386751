"""What the operator would give its pods, for the containers of docker-compose.sentinel.yml.

python -m tests.compose.made        writes compose/redis.conf, compose/settings and compose/members
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from contex_operator import names, render, spec

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "compose"
FILE: Final = ROOT / "docker-compose.sentinel.yml"
DATA: Final = ("redis-master", "redis-replica-1", "redis-replica-2")
SENTINELS: Final = ("sentinel-1", "sentinel-2", "sentinel-3")
_RESOURCE: Final[dict[str, Any]] = {
    "metadata": {"name": "redis", "namespace": "compose", "uid": "compose"},
    # No limit of memory, so no maxmemory.
    "spec": {"mode": "sentinel", "replicas": 2, "resources": {"limits": {}}},
}


def addresses() -> dict[str, str]:
    """The fixed address of each container that has one."""
    services = yaml.safe_load(FILE.read_text())["services"]
    return {
        name: service["networks"]["redis"]["ipv4_address"]
        for name, service in services.items()
        if name in (*DATA, *SENTINELS)
    }


def files() -> dict[str, str]:
    """Name and content of each."""
    parsed = spec.parse(_RESOURCE)
    known = addresses()
    members = [f"data {name} {known[name]}" for name in DATA]
    members += [
        f"sentinel {name} {known[name]} {names.sentinel_myid(namespace='compose', pod=name, name='redis')}"
        for name in SENTINELS
    ]
    return {
        "redis.conf": render.redis_conf(parsed),
        "settings": render.settings_file(parsed),
        "members": "\n".join(members) + "\n",
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
