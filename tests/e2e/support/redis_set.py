"""One ContexRedis as a test sees it: status, nodes, sentinels, data, and writers that know how to reach it."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import redis
from contex_operator.names import (
    KEY_PASSWORD,
    KEY_SENTINEL_PASSWORD,
    LABEL_CLUSTER,
    REDIS_PORT,
    SENTINEL_PORT,
    Children,
)

from tests.e2e.support.cluster import Cluster, Json, KubectlFailed
from tests.e2e.support.eventually import eventually
from tests.workload import reading
from tests.workload.checker import Verdict, check
from tests.workload.history import Op
from tests.workload.process import PASSWORD_VARIABLE, SENTINEL_PASSWORD_VARIABLE, Writers
from tests.workload.writers import stream_of

UNREACHABLE = (redis.ConnectionError, redis.TimeoutError, KubectlFailed)


class RedisSet:
    """A ContexRedis by namespace and name. Every read is fresh; only addresses and passwords are remembered
    (identities never change)."""

    def __init__(self, cluster: Cluster, *, namespace: str, name: str) -> None:
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self.children = Children(name)
        self._addresses: dict[str, str] = {}
        self._secret: dict[str, str] | None = None
        self._clients: dict[tuple[str, int], redis.Redis] = {}

    # -- the resource ---------------------------------------------------------------------------------------

    def resource(self) -> Json:
        """The ContexRedis as the API has it."""
        return self.cluster.get("contexredis", self.name, self.namespace)

    def conditions(self) -> dict[str, Json]:
        """Conditions in status by their type."""
        return {c["type"]: c for c in self.resource().get("status", {}).get("conditions", ())}

    def is_ready(self) -> bool:
        """Ready=True for the present generation of the spec."""
        resource = self.resource()
        status = resource.get("status", {})
        ready = [c for c in status.get("conditions", ()) if c["type"] == "Ready"]
        return (
            bool(ready)
            and ready[0]["status"] == "True"
            and status.get("observedGeneration") == resource["metadata"]["generation"]
        )

    def wait_ready(self, *, within_s: float = 60.0) -> float:
        """Wait until Ready; returns how long it took in seconds. Raises AssertionError with the last
        conditions.
        """
        began = time.monotonic()

        def ready() -> bool:
            if self.is_ready():
                return True
            raise _NotYet({name: c.get("message") for name, c in self.conditions().items()})

        eventually(
            ready, within_s=within_s, describe=f"{self.name} is Ready", passing=(_NotYet, KubectlFailed)
        )
        return time.monotonic() - began

    def configure(self, **spec: Any) -> None:
        """Merge-patch the spec."""
        self.cluster.patch("contexredis", self.name, {"spec": spec}, namespace=self.namespace)

    # -- pods -----------------------------------------------------------------------------------------------

    def pods(self) -> dict[str, Json]:
        """Every pod of the set by name, sentinels included."""
        found = self.cluster.items("pods", self.namespace, labels=f"{LABEL_CLUSTER}={self.name}")
        return {pod["metadata"]["name"]: pod for pod in found}

    def members(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the data pods and of the sentinel pods as the spec wants them, whether they run or not."""
        spec = self.resource()["spec"]
        if spec["mode"] != "sentinel":
            return (self.children.master_pod(),), ()
        data = (self.children.master_pod(), *self.children.replica_pods(int(spec["replicas"])))
        return data, self.children.sentinel_pods(int(spec["sentinel"]["replicas"]))

    def data_pods(self) -> tuple[str, ...]:
        """Names of the data pods."""
        return self.members()[0]

    def sentinel_pods(self) -> tuple[str, ...]:
        """Names of the sentinel pods; none in standalone mode."""
        return self.members()[1]

    def node_of(self, pod: str) -> str:
        """The Kubernetes node that a pod runs on."""
        return str(self.cluster.get("pod", pod, self.namespace)["spec"]["nodeName"])

    def sentinel_hosts(self) -> list[str]:
        """HOST:PORT of each sentinel, as writers are told them."""
        return [f"{self.address(pod)}:{SENTINEL_PORT}" for pod in self.sentinel_pods()]

    # -- addresses and passwords ----------------------------------------------------------------------------

    def address(self, service: str) -> str:
        """The ClusterIP of a Service: a pod's identity (the pod's name), or `children.master`."""
        if service not in self._addresses:
            self._addresses[service] = self.cluster.get("service", service, self.namespace)["spec"][
                "clusterIP"
            ]
        return self._addresses[service]

    @property
    def password(self) -> str | None:
        """Redis' password, None with auth off."""
        return self._auth().get(KEY_PASSWORD)

    @property
    def sentinel_password(self) -> str | None:
        """The sentinels' password, None with auth off."""
        return self._auth().get(KEY_SENTINEL_PASSWORD)

    def _auth(self) -> dict[str, str]:
        if self._secret is None:
            secret = self.cluster.find("secret", self.children.auth_active, self.namespace) or {}
            self._secret = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        return self._secret

    # -- Redis ----------------------------------------------------------------------------------------------

    def node(self, pod: str) -> redis.Redis:
        """A client of one data pod at its identity; every call has a deadline."""
        return self._client(pod, REDIS_PORT, self.password)

    def nodes(self) -> dict[str, redis.Redis]:
        """Clients of all data pods by pod."""
        return {pod: self.node(pod) for pod in self.data_pods()}

    def sentinel(self, pod: str) -> redis.Redis:
        """A client of one sentinel at its identity."""
        return self._client(pod, SENTINEL_PORT, self.sentinel_password)

    def sentinels(self) -> dict[str, redis.Redis]:
        """Clients of all sentinels by pod."""
        return {pod: self.sentinel(pod) for pod in self.sentinel_pods()}

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _client(self, pod: str, port: int, password: str | None) -> redis.Redis:
        key = (pod, port)
        if key not in self._clients:
            self._clients[key] = reading.connect(self.address(pod), port, password=password, timeout_s=1.0)
        return self._clients[key]

    def roles(self) -> dict[str, str]:
        """What each data pod says of itself: "master", "slave", or "unreachable". All are asked at once."""
        return _of_each(self.nodes(), lambda node: str(command(node, "ROLE")[0]), otherwise="unreachable")

    def named_masters(self) -> dict[str, str]:
        """The address that each sentinel names; "" where it cannot be asked or monitors nothing."""
        spec = self.resource()["spec"]
        if spec["mode"] != "sentinel":
            return {}
        name = spec["sentinel"]["masterName"]

        def named(sentinel: redis.Redis) -> str:
            answer = command(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME", name)
            return str(answer[0]) if answer else ""

        return _of_each(self.sentinels(), named, otherwise="")

    def master(self) -> str | None:
        """The pod whose address a majority of the sentinels names and that says master itself; None where there is
        no such pod. In standalone mode: the one pod, when it answers as master."""
        masters = [pod for pod, role in self.roles().items() if role == "master"]
        named = self.named_masters()
        if not named:
            return masters[0] if masters else None
        votes = Counter(named.values())
        agreed = [pod for pod in masters if votes[self.address(pod)] > len(named) // 2]
        return agreed[0] if agreed else None

    def wait_master(self, *, other_than: str | None = None, within_s: float = 30.0) -> str:
        """Wait for a master (another one than the given pod) and return its pod."""

        def moved() -> str | None:
            master = self.master()
            return master if master != other_than else None

        found = eventually(
            moved, within_s=within_s, describe=f"a master other than {other_than}", passing=UNREACHABLE
        )
        return str(found)

    # -- data -----------------------------------------------------------------------------------------------

    def wait_settled(self, *, within_s: float = 30.0, without: Iterable[str] = ()) -> str:
        """Wait until one node is master and all others are its synced replicas at its offset; returns the
        master.

        `without` are pods that are known to be away.
        """
        away = set(without)

        def settled() -> str | None:
            nodes = {pod: node for pod, node in self.nodes().items() if pod not in away}
            infos = reading.replication(nodes)
            if not reading.settled(infos):
                return None
            return next(pod for pod, info in infos.items() if info["role"] == "master")

        found = eventually(
            settled, within_s=within_s, describe="replicas have caught up", passing=UNREACHABLE
        )
        return str(found)

    def judge(self, history: Iterable[Op], *, without: Iterable[str] = (), within_s: float = 30.0) -> Verdict:
        """The checker's verdict, from the data of the master and of every replica once they have settled."""
        ops, away = list(history), set(without)
        master = self.wait_settled(without=away, within_s=within_s)
        nodes = {pod: node for pod, node in self.nodes().items() if pod not in away}
        streams = [stream_of(client) for client in sorted({op.client for op in ops})]
        return check(ops, data=reading.read_all(nodes, streams), master=master)

    # -- writers --------------------------------------------------------------------------------------------

    def writers(
        self,
        kind: str,
        *,
        client: str,
        clients: int = 1,
        interval_ms: float = 5,
        timeout_ms: float = 500,
        service: str | None = None,
    ) -> Writers:
        """Start writers in a process of their own: "sentinel" (through the sentinels), "kept" or "fresh"
        (through the master Service or the one that is named, a kept or a new connection). Stop them, or use them as a
        context manager.
        """
        pace = ("--interval-ms", str(interval_ms), "--timeout-ms", str(timeout_ms))
        target: Sequence[str]
        if kind == "sentinel":
            target = (
                "--sentinels",
                ",".join(self.sentinel_hosts()),
                "--master-name",
                self.resource()["spec"]["sentinel"]["masterName"],
            )
        elif kind in ("kept", "fresh"):
            target = ("--address", f"{self.address(service or self.children.master)}:{REDIS_PORT}")
        else:
            raise ValueError(f"{kind!r} is no kind of writer: use 'sentinel', 'kept' or 'fresh'")
        env = {
            PASSWORD_VARIABLE: self.password or "",
            SENTINEL_PASSWORD_VARIABLE: self.sentinel_password or "",
        }
        return Writers(("--client", client, "--clients", str(clients), *pace, kind, *target), env=env)


def command(client: redis.Redis, *words: str | int) -> Any:
    """Any command on a node or sentinel. Raises redis.RedisError.

    What has a subcommand ("SENTINEL CKQUORUM", "CONFIG GET") comes back as Redis answered it, text or flat lists:
    redis-py would make True or False of CKQUORUM's sentence. One-word commands come back as redis-py parses them.
    """
    return cast("Any", client).execute_command(*str(words[0]).split(), *words[1:])


def _of_each(
    clients: Mapping[str, redis.Redis], ask: Callable[[redis.Redis], str], *, otherwise: str
) -> dict[str, str]:
    """`ask` of all clients at the same time; `otherwise` for those that do not answer."""

    def answer(client: redis.Redis) -> str:
        try:
            return ask(client)
        except redis.RedisError:
            return otherwise

    with ThreadPoolExecutor(max_workers=max(len(clients), 1)) as pool:
        return dict(zip(clients, pool.map(answer, clients.values()), strict=True))


class _NotYet(Exception):
    """Carries the state that was seen into the message of a wait."""
