"""Lets Contex as published, whose sentinel mode can not start, connect through Sentinel and follow a failover.

Python imports a module of this name at its start when the module's folder is on PYTHONPATH. Nothing is changed until
`redis.asyncio.sentinel` is imported; then

- `master_for(…, connection_pool_kwargs={…})`, which redis-py refuses with a TypeError at the first command, hands the
  values on as the plain arguments that redis-py takes;
- a connection to the master that has to be made again inside a command asks the sentinels for the master, instead of
  going back to the old one (redis-py #3874, versions 6 to 8).

It needs nothing but Python 3.11 or newer, refuses nothing, and steps aside with a warning where redis-py is not as it
knows it (versions 5 to 8). The first call that needed it is told in one line of the log, `contex_redis.shim`.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MODULE = "redis.asyncio.sentinel"
ARGUMENT = "connection_pool_kwargs"
log = logging.getLogger("contex_redis.shim")


def apply(module: ModuleType) -> list[str]:
    """Change `redis.asyncio.sentinel` where it has to be; returns what was changed, a sentence each.

    Raises AttributeError or TypeError before anything is changed where the module is not as expected.
    """
    sentinel, connection = module.Sentinel, module.SentinelManagedConnection
    changes: list[tuple[type, str, Callable[..., Any], str]] = []
    for name in ("master_for", "slave_for"):
        method = getattr(sentinel, name)
        parameters = inspect.signature(method).parameters
        if ARGUMENT in parameters:
            continue  # redis-py has learned it
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            raise TypeError(f"Sentinel.{name} takes no further keyword arguments")
        changes.append((sentinel, name, _handing_on(method), f"{name} takes {ARGUMENT}"))
    inherited = getattr(connection, "connect_check_health", None)
    # redis-py 5 always asks; a version with a method of the class's own has mended it.
    if inherited is not None and "connect_check_health" not in vars(connection):
        inspect.signature(inherited).bind(connection, check_health=True, retry_socket_connect=False)
        module.SentinelConnectionPool.get_master_address  # noqa: B018 - there, or not as expected
        changes.append(
            (connection, "connect_check_health", _asking(inherited), "reconnecting asks the sentinels")
        )
    for owner, name, function, _ in changes:
        setattr(owner, name, function)
    return [sentence for *_, sentence in changes]


def _handing_on(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def handing_on(*args: Any, **kwargs: Any) -> Any:
        if ARGUMENT not in kwargs:
            return method(*args, **kwargs)
        handed = dict(kwargs.pop(ARGUMENT) or {})
        _say_once(sorted(handed))
        return method(*args, **{**handed, **kwargs})

    return handing_on


def _asking(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def connect_check_health(
        self: Any, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        # Without `retry_socket_connect` it is `connect_to`, which has just asked.
        if retry_socket_connect and not self.is_connected and self.connection_pool.is_master:
            self.host, self.port = await self.connection_pool.get_master_address()
            retry_socket_connect = False
        await method(self, check_health=check_health, retry_socket_connect=retry_socket_connect)

    return connect_check_health


@functools.cache
def _say_once_for(names: str) -> None:
    log.info("Sentinel shim | handed on %s: %s", ARGUMENT, names)


def _say_once(names: list[str]) -> None:
    _say_once_for(", ".join(names))


class _Watch(importlib.abc.MetaPathFinder):
    """Sees the import of the one module, and applies the change when it has been executed."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            try:
                apply(module)
            except Exception as error:
                log.warning("Sentinel shim | stepped aside, this redis-py is unknown to it: %s", error)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _import_next() -> None:
    """Another sitecustomize further down the path is hidden by this one: run it as well."""
    here = Path(__file__).resolve().parent
    further = [each for each in sys.path if Path(each).resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", further)
    if spec is not None and spec.loader is not None and spec.origin != __file__:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, _Watch())
    _import_next()
