"""The env contract: which variables wire Contex to Redis, what they may hold, and what holds when they are
absent.

Numbers are read by `int()`, as Contex does ("0.5" is an error). A value that is not allowed is refused by the
variable's name with what is allowed; the message never repeats a value that may hold a password. What stands in
REDIS_URL goes before REDIS_PASSWORD and REDIS_DB, which count in standalone mode where the URL leaves them out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import parse_url

STANDALONE: Final = "standalone"
SENTINEL: Final = "sentinel"
_SCHEMES: Final = ("redis", "rediss", "unix")
_SENTINEL_PORT: Final = 26379
_HOST_PORT: Final = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
)


class SettingsError(ValueError):
    """A variable of the contract is missing or has a value that is not allowed; `variable` is its name."""

    def __init__(self, variable: str, message: str) -> None:
        self.variable = variable
        super().__init__(f"{variable} {message}")


@dataclass(frozen=True)
class Settings:
    """What the environment says. Times are whole seconds; secrets stay out of `repr()`."""

    mode: str
    url: str = field(repr=False)
    sentinel_hosts: tuple[tuple[str, int], ...]
    sentinel_master: str
    sentinel_password: str | None = field(repr=False)
    password: str | None = field(repr=False)
    db: int
    max_connections: int
    socket_timeout_s: int
    socket_connect_timeout_s: int
    socket_keepalive: bool
    retry_on_timeout: bool
    health_check_interval_s: int
    ignored: tuple[str, ...] = ()  # variables that are set and have no effect in this mode


def read(env: Mapping[str, str]) -> Settings:
    """Read the contract from `env` (all of it is checked in both modes). Raises SettingsError."""
    mode = env.get("REDIS_MODE", STANDALONE).lower()
    if mode not in (STANDALONE, SENTINEL):
        given = env["REDIS_MODE"]
        raise SettingsError("REDIS_MODE", f"is {given!r}: it must be {STANDALONE!r} or {SENTINEL!r}")
    hosts = _hosts(env.get("REDIS_SENTINEL_HOSTS", ""), required=mode == SENTINEL)
    master = env.get("REDIS_SENTINEL_MASTER", "mymaster")
    if not master or any(c.isspace() for c in master):
        allowed = "it must be the name that the sentinels monitor"
        raise SettingsError("REDIS_SENTINEL_MASTER", f"is {master!r}: {allowed}")
    url = _url(env.get("REDIS_URL", "redis://redis:6379"))
    inert = _named_in(url) if mode == STANDALONE else ("REDIS_URL",)
    return Settings(
        mode=mode,
        url=url,
        sentinel_hosts=hosts,
        sentinel_master=master,
        sentinel_password=env.get("REDIS_SENTINEL_PASSWORD") or None,
        password=env.get("REDIS_PASSWORD") or None,
        db=_integer(env, "REDIS_DB", default=0, least=0),
        max_connections=_integer(env, "REDIS_MAX_CONNECTIONS", default=50, least=1),
        socket_timeout_s=_integer(env, "REDIS_SOCKET_TIMEOUT", default=5, least=1),
        socket_connect_timeout_s=_integer(env, "REDIS_SOCKET_CONNECT_TIMEOUT", default=5, least=1),
        socket_keepalive=_boolean(env, "REDIS_SOCKET_KEEPALIVE", default=True),
        retry_on_timeout=_boolean(env, "REDIS_RETRY_ON_TIMEOUT", default=True),
        health_check_interval_s=_integer(env, "REDIS_HEALTH_CHECK_INTERVAL", default=30, least=0),
        ignored=tuple(name for name in inert if env.get(name)),
    )


def _named_in(url: str) -> tuple[str, ...]:
    """The variables that a URL leaves nothing to say to."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    has_database = bool(parts.path.removeprefix("/")) and parts.scheme != "unix"
    found = {
        "REDIS_PASSWORD": parts.password is not None or "password" in query,
        "REDIS_DB": has_database or "db" in query,
    }
    return tuple(name for name, is_named in found.items() if is_named)


def _integer(env: Mapping[str, str], name: str, *, default: int, least: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(name, f"is {text!r}: it must be a whole number, at least {least}") from None
    if value < least:
        raise SettingsError(name, f"is {value}: it must be at least {least}")
    return value


def _boolean(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = env.get(name)
    if text is None:
        return default
    if text.lower() not in ("true", "false"):
        raise SettingsError(name, f"is {text!r}: it must be 'true' or 'false'")
    return text.lower() == "true"


def _url(text: str) -> str:
    """The URL unchanged, once its form is known to be right. It may hold a password: no message shows it."""
    allowed = "it must be redis://[:password@]host[:port][/database], rediss://… or unix://…"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SettingsError("REDIS_URL", f"has no valid host or port: {allowed}") from None
    if parts.scheme not in _SCHEMES:
        raise SettingsError("REDIS_URL", f"does not begin with redis://, rediss:// or unix://: {allowed}")
    try:
        parse_url(text)
    except ValueError:
        raise SettingsError(
            "REDIS_URL", f"has a setting after '?' that redis-py can not read: {allowed}"
        ) from None
    if parts.scheme == "unix":
        if not parts.path:
            raise SettingsError("REDIS_URL", f"names no socket: {allowed}")
        return text
    if not parts.hostname or port == 0:
        raise SettingsError("REDIS_URL", f"names no host or port: {allowed}")
    database = parts.path.removeprefix("/")
    if database and not database.isdecimal():
        raise SettingsError("REDIS_URL", f"ends in something that is no database number: {allowed}")
    return text


def _hosts(text: str, *, required: bool) -> tuple[tuple[str, int], ...]:
    allowed = "it must be host:port pairs separated by commas, such as sentinel-0:26379,sentinel-1:26379"
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        if required:
            raise SettingsError("REDIS_SENTINEL_HOSTS", f"is missing in sentinel mode: {allowed}")
        return ()
    hosts = []
    for entry in entries:
        match = _HOST_PORT.fullmatch(entry)
        port = int(match["port"] or _SENTINEL_PORT) if match else 0
        if not match or not 0 < port < 65536:
            raise SettingsError("REDIS_SENTINEL_HOSTS", f"has the entry {entry!r}: {allowed}")
        hosts.append((match["name"] or match["ipv6"], port))
    return tuple(hosts)
