"""The operator's own settings, from its environment; a wrong one is refused by name at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from . import failpoints
from .errors import OperatorError


class ConfigError(OperatorError):
    """The operator's environment makes no sense."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """`watch_namespace` None = all namespaces (cluster-wide)."""

    namespace: str  # where this process runs, and where its Lease is
    pod: str
    watch_namespace: str | None
    port: int = 8080
    log_level: str = "INFO"
    node: str = ""  # where this process runs; empty = not told
    failpoint: str = ""  # for tests: failpoints.py

    @property
    def is_cluster_wide(self) -> bool:
        return self.watch_namespace is None


def from_env(env: Mapping[str, str] = os.environ) -> Config:
    """Raises ConfigError with one sentence that names the variable."""
    namespace, pod = env.get("OPERATOR_NAMESPACE", ""), env.get("POD_NAME", "")
    for name, value in (("OPERATOR_NAMESPACE", namespace), ("POD_NAME", pod)):
        if not value:
            raise ConfigError(f"{name} is not set; it is the operator's own, by the downward API")
    port = env.get("HTTP_PORT", "8080")
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"HTTP_PORT is {port!r}; it has to be a port number, 1 to 65535")
    level = env.get("LOG_LEVEL", "INFO")
    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(f"LOG_LEVEL is {level!r}; it has to be DEBUG, INFO, WARNING or ERROR")
    return Config(
        namespace=namespace,
        pod=pod,
        watch_namespace=env.get("WATCH_NAMESPACE") or None,
        port=int(port),
        log_level=level.upper(),
        node=env.get("NODE_NAME", ""),
        failpoint=env.get(failpoints.VARIABLE, ""),
    )
