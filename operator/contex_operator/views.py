"""From what Redis, Sentinel and the API answer to the model's values. Pure; called by observe and redisio."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .errors import RedisAnswer, RedisError, RedisUnreachable
from .model import Client, DataNode, Holding, KnownReplica, Object, Pod, Reach, Replica, SentinelNode, seconds
from .names import LABEL_COMPONENT, LABEL_ROLE

Command = tuple[str | int, ...]
Reply = object  # str, int, None or a list of those; an error reply inside a pipeline is a RedisAnswer

ANNOUNCED: Final = "replica-announce-ip"
DATA_COMMANDS: Final[tuple[Command, ...]] = (
    ("INFO",),
    ("CONFIG", "GET", "replica-priority"),
    ("CONFIG", "GET", "min-replicas-to-write"),
)
# Asked of a replica that has answered READONLY.
WRITER_COMMANDS: Final[tuple[Command, ...]] = (("CLIENT", "LIST", "TYPE", "normal"), ("ACL", "CAT", "write"))
MAY_WRITE: Final = frozenset({"eval", "evalsha", "fcall", "exec"})

_HOLDING = re.compile(
    r"/(?P<what>fresh|emptied|intact)(?:-e(?P<epoch>\d+)-(?P<role>master|replica))?/redis\.conf$"
)
_KEYS = re.compile(r"\bkeys=(\d+)")
_EXPIRING = re.compile(r"\bexpires=(\d+)")
_ERRORS = re.compile(r"count=(\d+)")
_SETTINGS: Final = ("quorum", "down-after-milliseconds", "failover-timeout", "parallel-syncs")


def sentinel_commands(master_name: str) -> tuple[Command, ...]:
    """What one sentinel is asked in each reconcile, as one pipeline."""
    return (
        ("SENTINEL", "MASTER", master_name),
        ("SENTINEL", "REPLICAS", master_name),
        ("SENTINEL", "SENTINELS", master_name),
        ("SENTINEL", "CKQUORUM", master_name),
        ("INFO", "sentinel"),
    )


def canonical(address: str) -> str:
    """An IP address in its one spelling; what is no address stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def reach_of(error: RedisError) -> Reach:
    """What an unanswered question says about the process behind the address."""
    if isinstance(error, RedisUnreachable):
        return {"refused": Reach.REFUSED, "timeout": Reach.TIMEOUT, "closed": Reach.CLOSED}.get(
            error.kind, Reach.OTHER
        )
    if isinstance(error, RedisAnswer) and error.code in ("NOAUTH", "WRONGPASS", "NOPERM"):
        return Reach.DENIED
    return Reach.OTHER


def config_commands(directives: Iterable[str]) -> tuple[Command, ...]:
    """One question for each directive: several in one came with Redis 7."""
    return tuple(("CONFIG", "GET", name) for name in directives)


def data_node(pod: str, address: str, replies: list[Reply]) -> DataNode:
    """A data node from the replies to DATA_COMMANDS, and to `config_commands` after them."""
    refused = next((reply for reply in replies if isinstance(reply, RedisAnswer)), None)
    if refused is not None and refused.code in ("NOAUTH", "WRONGPASS", "NOPERM"):
        return DataNode(pod=pod, address=address, reach=Reach.DENIED)
    info = parse_info(replies[0])
    if "role" not in info:
        return DataNode(pod=pod, address=address, reach=Reach.OTHER)
    role = info["role"]
    priority = parse_pairs(replies[1]).get("replica-priority")
    min_replicas = parse_pairs(replies[2]).get("min-replicas-to-write")
    return DataNode(
        pod=pod,
        address=address,
        reach=Reach.UP,
        role=role,
        run_id=info.get("run_id"),
        replid=info.get("master_replid"),
        replid2=info.get("master_replid2"),
        offset=_number(info.get("master_repl_offset" if role == "master" else "slave_repl_offset")),
        master_address=canonical(info["master_host"]) if role == "slave" and "master_host" in info else None,
        link_up=info.get("master_link_status") == "up",
        syncing=info.get("master_sync_in_progress") == "1",
        loading=info.get("loading") == "1" or info.get("async_loading") == "1",
        priority=_number(priority),
        keys=_keys(info, _KEYS),
        holding=_holding(info.get("config_file", "")),
        replicas=tuple(_replicas(info)),
        version=info.get("valkey_version") or info.get("redis_version"),
        server="Valkey" if "valkey_version" in info else "Redis",
        fork_offset=_number(info.get("second_repl_offset")),
        min_replicas=_number(min_replicas),
        aof_ok=info.get("aof_last_write_status", "ok") == "ok",
        dump_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        good_replicas=_number(info.get("min_slaves_good_slaves")),
        used_memory=_counted_memory(info),
        maxmemory=_number(info.get("maxmemory")),
        maxmemory_policy=info.get("maxmemory_policy"),
        expiring_keys=_keys(info, _EXPIRING),
        normal_clients=_number(info.get("connected_clients")) or 0,
        config={
            key: value for reply in replies[len(DATA_COMMANDS) :] for key, value in parse_pairs(reply).items()
        },
        failing_over=info.get("master_failover_state", "no-failover") != "no-failover",
        maxclients=_number(info.get("maxclients")),
        errors=error_counts(info),
    )


def writers(replies: list[Reply]) -> tuple[Client, ...]:
    """From the replies to WRITER_COMMANDS: the clients whose last command writes, or may."""
    listed, writing = replies
    if not isinstance(listed, str) or not isinstance(writing, list):
        return ()
    names = {str(name).lower() for name in writing}
    found = []
    for line in listed.splitlines():
        fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
        command, number = fields.get("cmd", ""), _number(fields.get("id"))
        if number is not None and (command in names or command in MAY_WRITE):
            found.append(Client(id=number, command=command, writes=True if command in names else None))
    return tuple(found)


def sentinel_node(pod: str, address: str, replies: list[Reply]) -> SentinelNode:
    """A sentinel from the replies to `sentinel_commands`."""
    master, replicas, peers, quorum, info = replies
    refused = next((r for r in replies if isinstance(r, RedisAnswer)), None)
    if refused is not None and refused.code in ("NOAUTH", "WRONGPASS", "NOPERM"):
        return SentinelNode(pod=pod, address=address, reach=Reach.DENIED)
    about = parse_info(info)
    if "sentinel_tilt" not in about:  # no sentinel, or one that does not answer this: nothing is known of it
        return SentinelNode(pod=pod, address=address, reach=Reach.OTHER)
    tilt = about["sentinel_tilt"] != "0"
    fields = parse_pairs(master)
    if not fields:
        return SentinelNode(pod=pod, address=address, reach=Reach.UP, monitors=False, tilt=tilt)
    others = [parse_pairs(entry) for entry in peers] if isinstance(peers, list) else []
    return SentinelNode(
        pod=pod,
        address=address,
        reach=Reach.UP,
        monitors=True,
        master_address=canonical(fields.get("ip", "")),
        config_epoch=_number(fields.get("config-epoch")),
        flags=_flags(fields),
        replicas=tuple(_known(parse_pairs(entry)) for entry in replicas)
        if isinstance(replicas, list)
        else (),
        peers=tuple(canonical(other.get("ip", "")) for other in others),
        peers_down=tuple(canonical(other.get("ip", "")) for other in others if "s_down" in _flags(other)),
        peers_silent_ms={canonical(other.get("ip", "")): _silent_ms(other) for other in others},
        settings={key: int(fields[key]) for key in _SETTINGS if fields.get(key, "").isdigit()},
        tilt=tilt,
        quorum_ok=isinstance(quorum, str) and quorum.startswith("OK"),
    )


def _known(fields: dict[str, str]) -> KnownReplica:
    return KnownReplica(
        address=canonical(fields.get("ip", "")),
        flags=_flags(fields),
        priority=_number(fields.get("slave-priority")) or 0,
        offset=_number(fields.get("slave-repl-offset")) or 0,
        link_up=fields.get("master-link-status") == "ok",
        silent_ms=_silent_ms(fields),
    )


def _silent_ms(fields: dict[str, str]) -> int:
    return _number(fields.get("last-ok-ping-reply")) or 0


def _flags(fields: dict[str, str]) -> frozenset[str]:
    return frozenset(fields.get("flags", "").split(",")) - {""}


def _replicas(info: dict[str, str]) -> list[Replica]:
    """The `slaveN:ip=…,port=…,state=…,offset=…,lag=…` lines of a master's INFO."""
    found = []
    for key, value in info.items():
        if re.fullmatch(r"slave\d+", key):
            fields = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
            found.append(
                Replica(
                    address=canonical(fields.get("ip", "")),
                    online=fields.get("state") == "online",
                    offset=_number(fields.get("offset")) or 0,
                    lag_s=_number(fields.get("lag")) or 0,
                )
            )
    return found


def error_counts(info: Mapping[str, str]) -> dict[str, int]:
    """Error replies by their code: the `errorstat_CODE:count=N` lines of INFO, which Redis has since 6.2."""
    counts = {key: _ERRORS.search(value) for key, value in info.items() if key.startswith("errorstat_")}
    return {key.removeprefix("errorstat_"): int(found[1]) for key, found in counts.items() if found}


def _holding(config_file: str) -> Holding | None:
    match = _HOLDING.search(config_file)
    if match is None:
        return None
    epoch, role = match["epoch"], match["role"]
    return Holding(
        fresh=match["what"] == "fresh",
        has_data=match["what"] == "intact",
        epoch=int(epoch) if epoch is not None else None,
        was_master=role == "master" if role is not None else None,
    )


def _keys(info: dict[str, str], pattern: re.Pattern[str]) -> int:
    """The sum over all databases of one figure of their `keys=…,expires=…` lines."""
    return sum(int(n) for key, value in info.items() if key.startswith("db") for n in pattern.findall(value))


def _counted_memory(info: dict[str, str]) -> int | None:
    """What is held against maxmemory: not the buffers of replicas and of the append-only file."""
    used = _number(info.get("used_memory"))
    return None if used is None else used - (_number(info.get("mem_not_counted_for_evict")) or 0)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def parse_info(reply: Reply) -> dict[str, str]:
    """INFO's text as a dict of its `key:value` lines; empty for anything else."""
    if not isinstance(reply, str):
        return {}
    lines = (line for line in reply.splitlines() if ":" in line and not line.startswith("#"))
    return dict(line.split(":", 1) for line in lines)


def parse_pairs(reply: Reply) -> dict[str, str]:
    """A flat list of field, value, field, value … (SENTINEL MASTER, CONFIG GET) as a dict."""
    if not isinstance(reply, list):
        return {}
    return {str(reply[i]): str(reply[i + 1]) for i in range(0, len(reply) - 1, 2)}


def identity_address(service: Object | None) -> str | None:
    """The ClusterIP of an identity Service in canonical form, None where it has none."""
    address = ((service or {}).get("spec") or {}).get("clusterIP")
    return canonical(address) if address and address != "None" else None


def pod_view(body: Object) -> Pod:
    """A pod as the model knows it."""
    metadata, status = body["metadata"], body.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    turned = {c["type"]: _seconds(c.get("lastTransitionTime")) for c in status.get("conditions") or []}
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        component=labels.get(LABEL_COMPONENT, ""),
        node=(body.get("spec") or {}).get("nodeName"),
        ip=status.get("podIP"),
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready") == "True",
        terminating="deletionTimestamp" in metadata,
        role=labels.get(LABEL_ROLE),
        revision=labels.get("controller-revision-hash"),
        deletion_asked_at=_deletion_asked_at(metadata),
        waiting=_waiting(status, conditions),
        created_at=_seconds(metadata.get("creationTimestamp")),
        was_ready=_was_ready(conditions, turned),
    )


# The kubelet writes Ready=False when it first looks at a pod, soon after it was scheduled; a later turn is a relapse.
_FIRST_LOOK_S: Final = 10.0


def _was_ready(conditions: Mapping[str, str], turned: Mapping[str, float | None]) -> bool:
    ready, scheduled = turned.get("Ready"), turned.get("PodScheduled")
    if conditions.get("Ready") != "False" or ready is None or scheduled is None:
        return False
    return ready - scheduled > _FIRST_LOOK_S


def _seconds(timestamp: str | None) -> float | None:
    return seconds(timestamp) if timestamp else None


def _deletion_asked_at(metadata: Mapping[str, Any]) -> float | None:
    """When the deletion was asked for: the API's timestamp lies the grace period after that."""
    if "deletionTimestamp" not in metadata:
        return None
    return seconds(metadata["deletionTimestamp"]) - float(metadata.get("deletionGracePeriodSeconds") or 0)


def _waiting(status: Mapping[str, Any], conditions: Mapping[str, str]) -> str | None:
    """Why a pod cannot start, in the API's words; None where it runs or is just being started."""
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return ": ".join(part for part in (waiting["reason"], waiting.get("message")) if part)
    if conditions.get("PodScheduled") == "False":
        for condition in status.get("conditions") or []:
            if condition["type"] == "PodScheduled":
                return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}".strip()
    return None
