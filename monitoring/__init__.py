"""Grafana dashboards as code: `python -m monitoring` writes helm/contex/files/dashboards/*.json.

panels       what all panels have in common
contex       Contex Reliability · Redis: the Redis as Contex feels it
contexredis  ContexRedis operator: every resource, and the operator itself
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring import contex, contexredis

FOLDER: Final = Path(__file__).resolve().parents[1] / "helm" / "contex" / "files" / "dashboards"


def dashboards() -> dict[str, str]:
    """Every dashboard's file name and text."""
    made = {"contex-redis.json": contex.dashboard(), "contexredis-operator.json": contexredis.dashboard()}
    return {
        name: json.dumps(each.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, each in made.items()
    }
