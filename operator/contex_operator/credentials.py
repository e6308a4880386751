"""Which passwords are in force: the source Secret, the operator's active copy, and what to do where they differ.

Pure. The named or generated Secret is only the source; pods mount the copy `<name>-auth-active`. A changed source
changes nothing but a condition, because half-changed passwords break replication pod by pod. A deleted Secret is
restored from the other one; once the resource is initialized a password is never generated anew.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from . import names
from .actions import Action, Create
from .model import Object, Observed
from .render import Identity, secret
from .spec import Spec

KEYS = (names.KEY_PASSWORD, names.KEY_SENTINEL_PASSWORD)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What is known of the passwords. `problem` (reason, sentence) stops everything that would need them."""

    actions: tuple[Action, ...] = ()
    password: str | None = None
    sentinel_password: str | None = None
    problem: tuple[str, str] | None = None
    changed: str | None = None  # sentence for AuthChanged: the source is no longer what the pods use


def credentials(who: Identity, spec: Spec, observed: Observed, *, fresh: tuple[str, str]) -> Credentials:
    """The passwords in force and the Secrets to create; `fresh` is used where new ones are due, never else."""
    if not spec.auth.enabled:
        return Credentials()
    children = who.children
    source_name = spec.auth.secret_name or children.auth
    source = observed.objects.get(("Secret", source_name))
    active = observed.objects.get(("Secret", children.auth_active))
    if active is not None:
        return _with_active(who, spec, active=active, source=source)
    if source is not None:
        problem = _problem(source_name, source)
        if problem:
            return Credentials(problem=problem)
        return _use(source["data"], (_copy(who, source["data"]),))
    if spec.auth.secret_name:
        return Credentials(
            problem=(
                "AuthSecretMissing",
                f"spec.auth.secretName names Secret {source_name}, which does not exist; "
                f"create it with the keys {' and '.join(KEYS)}",
            )
        )
    if observed.status.get("initialized"):
        return Credentials(
            problem=(
                "AuthSecretMissing",
                f"Secrets {children.auth} and {children.auth_active} are both gone; the running pods keep their "
                f"passwords, put them back into Secret {children.auth}",
            )
        )
    data = {key: _encode(value) for key, value in zip(KEYS, fresh, strict=True)}
    generated = Create(body=secret(who, children.auth, data, owned=not spec.persistence.retain))
    return _use(data, (generated, _copy(who, data)))


def _with_active(who: Identity, spec: Spec, *, active: Object, source: Object | None) -> Credentials:
    data = active.get("data") or {}
    problem = _problem(who.children.auth_active, active)
    if problem:
        return Credentials(problem=problem)
    name = spec.auth.secret_name or who.children.auth
    if source is None:
        if spec.auth.secret_name:
            return _use(
                data, (), changed=f"Secret {name} is gone; the pods keep their passwords, put it back"
            )
        restored = Create(
            body=secret(who, name, {key: data[key] for key in KEYS}, owned=not spec.persistence.retain)
        )
        return _use(data, (restored,))
    wanted = source.get("data") or {}
    if any(wanted.get(key) != data.get(key) for key in KEYS):
        return _use(
            data,
            (),
            changed=f"Secret {name} has changed; the pods keep the passwords in {who.children.auth_active} "
            "until a rotation is carried out, which this version cannot do",
        )
    return _use(data, ())


def _use(data: Mapping[str, str], actions: tuple[Action, ...], *, changed: str | None = None) -> Credentials:
    password, sentinel_password = (base64.b64decode(data[key]).decode() for key in KEYS)
    return Credentials(
        actions=actions, password=password, sentinel_password=sentinel_password, changed=changed
    )


def _copy(who: Identity, data: Mapping[str, str]) -> Create:
    return Create(body=secret(who, who.children.auth_active, {key: data[key] for key in KEYS}, owned=True))


def _problem(name: str, body: Object) -> tuple[str, str] | None:
    """What makes a Secret unusable; the sentence never contains a value."""
    data = body.get("data") or {}
    for key in KEYS:
        try:
            value = base64.b64decode(data.get(key) or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return "AuthSecretInvalid", f"key {key} of Secret {name} is not text in UTF-8"
        if not value:
            return "AuthSecretInvalid", f"Secret {name} has no key {key}; it needs {' and '.join(KEYS)}"
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            return (
                "AuthSecretInvalid",
                f"key {key} of Secret {name} contains a line break or another control character; "
                "Redis cannot take it, write it without (echo -n)",
            )
    return None


def _encode(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
