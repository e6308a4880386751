"""Contex' connection to Redis: wired by the environment, standalone or through Sentinel, steady through a failover.

    from contex_redis import connect

    redis = await connect()

`connect` reads the variables of Contex' contract (`settings`), and returns a client of redis-py that repeats what a
moment later or at another node would succeed. README.md says what is repeated, for how long, and what is measured.
"""

from .client import Client
from .connecting import build, connect
from .errors import certainly_not_executed
from .metrics import Metrics
from .settings import Settings, SettingsError, read

__all__ = [
    "Client",
    "Metrics",
    "Settings",
    "SettingsError",
    "build",
    "certainly_not_executed",
    "connect",
    "read",
]
