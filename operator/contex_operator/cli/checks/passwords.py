"""The row Authentication Failures: every pair that has to know a password, from where it uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from contex_operator import names
from contex_operator.model import Reach
from contex_operator.names import Condition

from ..facts import ContexPod, Facts
from .connection import is_denial
from .finding import Found, Row, Severity, check


def _use_secret(facts: Facts, pod: ContexPod, entries: Mapping[str, str]) -> str:
    """The command that leads Contex's variables to the passwords in force."""
    if facts.spec is not None and pod.deployment in {d.name for d in facts.spec.contex.deployments}:
        return facts.patch('{"contex":{"takeOver":true}}')
    env = [
        {
            "name": variable,
            "value": None,
            "valueFrom": {"secretKeyRef": {"name": facts.children.auth_active, "key": key}},
        }
        for variable, key in entries.items()
    ]
    container = {"name": pod.container, "env": env}
    body = {"spec": {"template": {"spec": {"containers": [container]}}}}
    return facts.kubectl("patch", "deployment", pod.deployment, "--type", "strategic", "-p", json.dumps(body))


@check("contex-password", Row.AUTH)
def contex_password(facts: Facts) -> Iterator[Found]:
    """Do Redis and the sentinels take the passwords that Contex has?"""
    for pod in facts.contex:
        last_words = next((line for line in pod.log if is_denial(line)), None)
        if last_words is not None:
            both = {
                "REDIS_PASSWORD": names.KEY_PASSWORD,
                "REDIS_SENTINEL_PASSWORD": names.KEY_SENTINEL_PASSWORD,
            }
            yield Found(
                finding=f"{pod.name} does not stay up: a password of its is not the one in force",
                proof=f"log of {pod.name}: {last_words}",
                cure=_use_secret(facts, pod, both),
            )
        denied = {
            "REDIS_SENTINEL_PASSWORD": [seen for seen in pod.sentinels if is_denial(seen.error)],
            "REDIS_PASSWORD": [seen for seen in (pod.master,) if seen is not None and is_denial(seen.error)],
        }
        keys = {"REDIS_SENTINEL_PASSWORD": names.KEY_SENTINEL_PASSWORD, "REDIS_PASSWORD": names.KEY_PASSWORD}
        for variable, seen in denied.items():
            if seen:
                where = variable if pod.is_sentinel_mode else "the password in REDIS_URL"
                yield Found(
                    finding=f"{where} of {pod.name} is not the one in force",
                    proof=f"{pod.name} → {seen[0].host}:{seen[0].port}: {seen[0].error}",
                    cure=_use_secret(facts, pod, {variable: keys[variable]}),
                )


@check("contex-password-source", Row.AUTH)
def contex_password_source(facts: Facts) -> Iterator[Found]:
    """Does Contex take its passwords from the Secret that the pods use?"""
    if facts.spec is None or not facts.spec.auth.enabled:
        return
    good = {
        facts.children.auth_active,
        facts.children.auth,
        facts.children.contex_env,
        facts.spec.auth.secret_name,
    }
    told: set[str] = set()
    for pod in facts.contex:
        if (
            pod.deployment in told
            or not pod.is_sentinel_mode
            or (pod.is_asked and pod.master and not pod.master.error)
        ):
            continue
        told.add(pod.deployment)
        for variable, key in (
            ("REDIS_PASSWORD", names.KEY_PASSWORD),
            ("REDIS_SENTINEL_PASSWORD", names.KEY_SENTINEL_PASSWORD),
        ):
            if variable not in pod.sources:
                said = "is not set, and Redis asks for it"
            elif (source := pod.sources[variable]) is not None and source[0] not in good:
                said = f"comes from Secret {source[0]}, which is not this resource's"
            else:
                continue
            yield Found(
                finding=f"{variable} of Deployment {pod.deployment} {said}",
                proof=f"the pods of {facts.name} use Secret {facts.children.auth_active}, key {key}",
                cure=_use_secret(facts, pod, {variable: key}),
            )


@check("member-password", Row.AUTH)
def member_password(facts: Facts) -> Iterator[Found]:
    """Does every pod of the set take every other's password, and its own?"""
    for node in facts.servers:
        if node.reach is Reach.DENIED:
            yield Found(
                finding=f"{node.pod} refuses the password in its own file",
                proof=f"redis-cli in {node.pod}: the server asks for another password",
                cure=facts.kubectl("delete", "pod", node.pod),
            )
    denied: dict[str, list[str]] = {}
    for knock in facts.knocks:
        if knock.is_denied:
            denied.setdefault(knock.target, []).append(
                f"{knock.source} → {knock.target}:{knock.port}: {knock.error}"
            )
    own = {n.pod for n in facts.servers if n.reach is Reach.DENIED}
    for target, proofs in denied.items():
        if target not in own:
            yield Found(
                finding=f"{target} refuses the password of {len(proofs)} other pods",
                proof="; ".join(proofs[:3]),
                cure=facts.kubectl("delete", "pod", proofs[0].split(" ", 1)[0]),
            )


@check("auth-changed", Row.AUTH)
def auth_changed(facts: Facts) -> Iterator[Found]:
    """Is the source Secret still what the pods use?"""
    condition = facts.conditions.get(Condition.AUTH_CHANGED, {})
    if condition.get("status") == "True":
        source = (facts.spec.auth.secret_name if facts.spec else None) or facts.children.auth
        copy = facts.kubectl("get", "secret", facts.children.auth_active, "-o", "jsonpath={.data}")
        yield Found(
            finding=f"Secret {source} was changed; the pods use the passwords of before",
            proof=str(condition.get("message")),
            cure=f'{facts.kubectl("patch", "secret", source, "--type", "merge", "-p")} "{{\\"data\\":$({copy})}}"',
            severity=Severity.WARNING,
        )


@check("auth-off", Row.AUTH)
def auth_off(facts: Facts) -> Iterator[Found]:
    """Does Redis ask for a password at all?"""
    if facts.spec is not None and not facts.spec.auth.enabled:
        yield Found(
            finding="anybody in the cluster may read and write: no password is asked for",
            proof="spec.auth.enabled is false",
            cure="make a second resource with auth.enabled: true and move the data",
            severity=Severity.NOTE,
        )
