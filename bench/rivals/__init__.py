"""What people use instead, installed from the manifests in these folders.

`RivalSet` gives them the face of a `RedisSet`, so that writers, verdict and scenarios are the same code for all.
Their pods have no address of their own that lasts: it is looked up, and the sentinels are reached by name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import redis
from contex_operator.names import SENTINEL_PORT

from tests.e2e.support.cluster import Cluster, Json
from tests.e2e.support.redis_set import RedisSet, command

HERE: Final = Path(__file__).resolve().parent
MASTER_NAME: Final = "mymaster"
_FRESH_S: Final = 0.3  # as old as a list of pods may be: one look asks for each pod's address


class RivalSet(RedisSet):
    """Data pods and sentinel pods (they may be the same), by name; `domain` is the sentinels' headless Service."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        image: str,
        data: tuple[str, ...],
        sentinels: tuple[str, ...],
        domain: str,
    ) -> None:
        super().__init__(cluster, namespace=namespace, name="redis")
        self._image, self._data, self._sentinels, self._domain = image, data, sentinels, domain
        self._seen: tuple[float, dict[str, Json]] = (0.0, {})

    def resource(self) -> Json:
        """There is none: what the tests read of one."""
        return {"spec": {"mode": "sentinel", "image": self._image, "sentinel": {"masterName": MASTER_NAME}}}

    def members(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self._data, self._sentinels

    def pods(self) -> dict[str, Json]:
        at, pods = self._seen
        if time.monotonic() - at > _FRESH_S:
            names = {*self._data, *self._sentinels}
            found = self.cluster.items("pods", self.namespace)
            pods = {p["metadata"]["name"]: p for p in found if p["metadata"]["name"] in names}
            self._seen = time.monotonic(), pods
        return pods

    def address(self, service: str) -> str:
        """A pod's present address; of another name the ClusterIP. Raises redis.ConnectionError without one."""
        if service not in {*self._data, *self._sentinels}:
            return super().address(service)
        address = self.pods().get(service, {}).get("status", {}).get("podIP")
        if not address:
            raise redis.ConnectionError(f"{service} has no address")
        return str(address)

    def sentinel_hosts(self) -> list[str]:
        domain = f"{self._domain}.{self.namespace}.svc.cluster.local"
        return [f"{pod}.{domain}:{SENTINEL_PORT}" for pod in self._sentinels]

    def roles(self) -> dict[str, str]:
        return {pod: self._role(pod) for pod in self._data}

    def master(self) -> str | None:
        """The pod that a majority of all sentinels names and that says master itself."""
        masters = [pod for pod, role in self.roles().items() if role == "master"]
        votes = Counter(self.named_pods().values())
        agreed = [pod for pod in masters if votes[pod] > len(self._sentinels) // 2]
        return agreed[0] if agreed else None

    def named_pods(self) -> dict[str, str]:
        """The pod that each sentinel names, by whatever it calls it; "" where it cannot be asked."""
        return {sentinel: self._pod_called(self._named(sentinel)) for sentinel in self._sentinels}

    def not_green(self) -> list[str]:
        """The rivals' green: all pods ready, sentinels and nodes of one mind, links up. A Service that leads elsewhere
        is no part of it: theirs never moves."""
        wrong = [f"{pod} is not ready" for pod in (*self._data, *self._sentinels) if not self._is_ready(pod)]
        master = self.master()
        if master is None:
            return [*wrong, "no majority of the sentinels names a node that says master"]
        named = self.named_pods()
        wrong += [f"{pod} names {name or 'nobody'}" for pod, name in named.items() if name != master]
        for pod in self._data:
            info = self._replication(pod)
            if pod == master:
                count = int(info.get("connected_slaves", 0))
                if count != len(self._data) - 1:
                    wrong.append(f"{master} has {count} replicas")
            elif info.get("role") != "slave" or info.get("master_link_status") != "up":
                wrong.append(f"{pod} is {info.get('role')}, its link is {info.get('master_link_status')}")
        return wrong

    def _auth(self) -> dict[str, str]:
        return {}

    def _client(self, pod: str, port: int, password: str | None) -> redis.Redis:
        address = self.address(pod)
        known = self._clients.get((pod, port))
        if known is not None and known.connection_pool.connection_kwargs["host"] != address:
            self._clients.pop((pod, port)).close()
        return super()._client(pod, port, password)

    def _role(self, pod: str) -> str:
        try:
            return str(command(self.node(pod), "ROLE")[0])
        except redis.RedisError:
            return "unreachable"

    def _replication(self, pod: str) -> Mapping[str, Any]:
        try:
            info: Mapping[str, Any] = command(self.node(pod), "INFO", "replication")
        except redis.RedisError:
            return {}
        return info

    def _named(self, sentinel: str) -> str:
        try:
            answer = command(self.sentinel(sentinel), "SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        except redis.RedisError:
            return ""
        return str(answer[0]) if answer else ""

    def _pod_called(self, name: str) -> str:
        """A node goes by its address, its host name, or the Service that leads to it alone."""
        if name.partition(".")[0] in self._data:
            return name.partition(".")[0]
        for pod, seen in self.pods().items():
            if seen.get("status", {}).get("podIP") == name and pod in self._data:
                return pod
        served = self.children.master_pod()
        return served if served in self._data and name == self.address(self.children.master) else name

    def _is_ready(self, pod: str) -> bool:
        conditions = self.pods().get(pod, {}).get("status", {}).get("conditions", ())
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
