"""Green: everything that must be true of a set that is whole, read from its nodes, sentinels and the API.

Stricter than the condition Ready, which the operator writes itself: label, Service and status are compared with
what the sentinels and the nodes say. `not_green()` gives every sentence that is false; none = green.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from contex_operator.names import (
    LABEL_POD_NAME,
    LABEL_ROLE,
    ROLE_MASTER,
    ROLE_REPLICA,
)

from tests.e2e.support.cluster import Json, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.e2e.support.redis_set import UNREACHABLE, RedisSet, command

Info = Mapping[str, Any]


def not_green(redis_set: RedisSet) -> list[str]:
    """What is not as it should be, one sentence each; the API's own failure is one of them."""
    try:
        resource = redis_set.resource()
        data, sentinels = redis_set.members()
        addresses = {pod: redis_set.address(pod) for pod in (*data, *sentinels)}
        pods = redis_set.pods()
        service = redis_set.cluster.get("service", redis_set.children.master, redis_set.namespace)
    except KubectlFailed as error:
        return [f"the API cannot be asked: {error}"]
    infos = _asked({pod: redis_set.node(pod) for pod in data}, _replication)
    views = _asked({pod: redis_set.sentinel(pod) for pod in sentinels}, _view_of(resource))
    by_address = {address: pod for pod, address in addresses.items()}
    master, wrong = judge_nodes(infos, by_address=by_address)
    wrong += judge_sentinels(views, by_address=by_address, master=master, replicas=len(data) - 1)
    wrong += judge_api(pods, service, resource, data=data, master=master)
    return wrong


def wait_green(redis_set: RedisSet, *, within_s: float) -> float:
    """Wait for green; returns how long it took. Raises AssertionError with what was wrong last."""
    began = time.monotonic()

    def green() -> bool:
        wrong = not_green(redis_set)
        if wrong:
            raise _NotYet("; ".join(wrong))
        return True

    eventually(green, within_s=within_s, describe="green", passing=(_NotYet, *UNREACHABLE), every_s=0.25)
    return time.monotonic() - began


def judge_nodes(
    infos: Mapping[str, Info | str], *, by_address: Mapping[str, str]
) -> tuple[str | None, list[str]]:
    """(the one master or None, what is wrong) by INFO replication of each data pod, or why it did not answer."""
    wrong = [f"{pod} does not answer ({info})" for pod, info in infos.items() if isinstance(info, str)]
    alive = {pod: info for pod, info in infos.items() if not isinstance(info, str)}
    masters = [pod for pod, info in alive.items() if info["role"] == "master"]
    if len(masters) != 1:
        return None, [*wrong, f"{len(masters)} nodes say master: {', '.join(masters) or 'none'}"]
    (master,) = masters
    for pod, info in alive.items():
        if pod == master:
            continue
        followed = by_address.get(str(info["master_host"]), str(info["master_host"]))
        if followed != master:
            wrong.append(f"{pod} follows {followed}, not {master}")
        elif info["master_link_status"] != "up":
            wrong.append(f"the link of {pod} to {master} is {info['master_link_status']}")
        elif info["master_sync_in_progress"]:
            wrong.append(f"{pod} is copying from {master}")
    return master, wrong


def judge_sentinels(
    views: Mapping[str, Info | str], *, by_address: Mapping[str, str], master: str | None, replicas: int
) -> list[str]:
    """What is wrong by SENTINEL MASTER and CKQUORUM of each sentinel, or why it did not answer."""
    wrong = []
    for pod, view in views.items():
        if isinstance(view, str):
            wrong.append(f"{pod} does not answer ({view})")
            continue
        named = by_address.get(str(view["ip"]), str(view["ip"]))
        if named != master:
            wrong.append(f"{pod} names {named}, and {master or 'nobody'} is master")
        if view["flags"] != "master":
            wrong.append(f"{pod} holds the master for {view['flags']}")
        if int(view["num-slaves"]) != replicas:
            wrong.append(f"{pod} knows {view['num-slaves']} replicas of {replicas}")
        if int(view["num-other-sentinels"]) != len(views) - 1:
            wrong.append(f"{pod} knows {view['num-other-sentinels']} other sentinels of {len(views) - 1}")
        if not str(view["ckquorum"]).startswith("OK"):
            wrong.append(f"{pod}: {view['ckquorum']}")
    epochs = {str(view["config-epoch"]) for view in views.values() if not isinstance(view, str)}
    if len(epochs) > 1:
        wrong.append(f"the sentinels' epochs differ: {', '.join(sorted(epochs))}")
    return wrong


def judge_api(
    pods: Mapping[str, Json], service: Json, resource: Json, *, data: tuple[str, ...], master: str | None
) -> list[str]:
    """What is wrong with labels, Service and status, given who the master is."""
    wrong = []
    for pod in data:
        role = pods.get(pod, {}).get("metadata", {}).get("labels", {}).get(LABEL_ROLE)
        should = ROLE_MASTER if pod == master else ROLE_REPLICA
        if role != should:
            wrong.append(f"the label of {pod} says {role}")
    served = service["spec"].get("selector", {}).get(LABEL_POD_NAME)
    if served != master:
        wrong.append(f"the master Service leads to {served}, and {master or 'nobody'} is master")
    status = resource.get("status", {})
    named = (status.get("master") or {}).get("pod")
    if named != master:
        wrong.append(f"the status names {named}, and {master or 'nobody'} is master")
    ready = [c for c in status.get("conditions", ()) if c["type"] == "Ready"]
    if not ready or ready[0]["status"] != "True":
        wrong.append(f"Ready is not True ({ready[0].get('message') if ready else 'no such condition'})")
    if status.get("observedGeneration") != resource["metadata"]["generation"]:
        wrong.append("the operator has not seen the newest spec")
    return wrong


class _NotYet(Exception):
    """Carries what is wrong into the message of a wait."""


def _replication(node: redis.Redis) -> Info:
    info: dict[str, Any] = command(node, "INFO", "replication")
    return info


def _view_of(resource: Json) -> Any:
    name = resource["spec"]["sentinel"]["masterName"]

    def view(sentinel: redis.Redis) -> Info:
        flat = command(sentinel, "SENTINEL MASTER", name)
        fields = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else dict(flat)
        return fields | {"ckquorum": _quorum(sentinel, name)}

    return view


def _quorum(sentinel: redis.Redis, name: str) -> str:
    try:
        return str(command(sentinel, "SENTINEL CKQUORUM", name))
    except redis.ResponseError as error:
        return str(error)


def _asked(clients: Mapping[str, redis.Redis], ask: Any) -> dict[str, Info | str]:
    def answer(client: redis.Redis) -> Info | str:
        try:
            info: Info = ask(client)
        except redis.RedisError as error:
            return type(error).__name__
        return info

    with ThreadPoolExecutor(max_workers=max(len(clients), 1)) as pool:
        return dict(zip(clients, pool.map(answer, clients.values()), strict=True))
