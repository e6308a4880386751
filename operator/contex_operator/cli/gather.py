"""Asks the API server and, through it, the pods: everything of one resource as one `Facts`.

Runs on somebody's machine with that person's rights: what may not be read becomes an `Unseen`, never an empty answer.
All pods are asked at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from contex_operator import names
from contex_operator.errors import Forbidden, KubeError, NotFound, SpecError
from contex_operator.kube import Kube
from contex_operator.kube.pods import Pods
from contex_operator.model import DataNode, Object, Observed, Pod, Reach, SentinelNode
from contex_operator.render import Identity, data_pods, sentinel_pods
from contex_operator.resources import CLAIM, LEASE, NAMESPACE, NODE, POD, SERVICE, STATEFUL_SET, Resource
from contex_operator.spec import Spec, parse
from contex_operator.topology import judge
from contex_operator.views import canonical, identity_address, pod_view, sentinel_commands

from . import answers
from .contex import find_contex
from .facts import Facts, Knock, Unseen
from .policies import End
from .questions import DATA_QUESTIONS, script
from .target import Target

POD_DEADLINE_S: Final = 25.0
NETWORK_POLICY: Final = Resource(
    group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy"
)
ZONE: Final = "topology.kubernetes.io/zone"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """What one pod answered."""

    pod: str
    found: Mapping[str, answers.Answer]
    unseen: Unseen | None = None


class Gatherer:
    """One look at one resource. `is_deep`: also from Contex's pods, and from each pod at each other."""

    def __init__(
        self, kube: Kube, pods: Pods, target: Target, *, is_deep: bool, contex: tuple[str, ...] = ()
    ) -> None:
        self._kube, self._pods, self._target = kube, pods, target
        self._is_deep, self._contex = is_deep, contex
        self._unseen: list[Unseen] = []

    async def gather(self) -> Facts:
        """Raises KubeError where not even the resource's own objects may be read."""
        namespace, name = self._target.namespace, self._target.name
        selector = f"{names.LABEL_CLUSTER}={name}"
        resource = self._target.resource
        bodies, services, sets, claims = await asyncio.gather(
            self._kube.list(POD, namespace, labels=selector),
            self._or_unseen(self._kube.list(SERVICE, namespace, labels=selector), "Services", []),
            self._or_unseen(self._kube.list(STATEFUL_SET, namespace, labels=selector), "StatefulSets", []),
            self._or_unseen(self._kube.list(CLAIM, namespace, labels=selector), "PersistentVolumeClaims", []),
        )
        spec, spec_error = parsed(resource)
        objects = {(str(o["kind"]), str(o["metadata"]["name"])): o for o in (*services, *sets)}
        pods = {str(body["metadata"]["name"]): body for body in bodies}
        data_names, sentinel_names = members(resource, spec, pods)
        addresses = {
            pod: identity_address(objects.get(("Service", pod))) for pod in (*data_names, *sentinel_names)
        }
        name_of_master = spec.sentinel.master_name if spec else "mymaster"
        heard = await self._ask(pods, data_names, sentinel_names, addresses, name_of_master)

        views = tuple(sorted((pod_view(body) for body in bodies), key=lambda pod: pod.name))
        observed = Observed(
            resource=resource,
            now=time.time(),
            objects=objects,
            pods=views,
            data=tuple(_data(pod, addresses[pod], heard[pod], views) for pod in data_names),
            sentinels=tuple(
                _sentinel(pod, addresses[pod], heard[pod], views, master_name=name_of_master)
                for pod in sentinel_names
            ),
            claims=tuple(sorted(str(claim["metadata"]["name"]) for claim in claims)),
        )
        facts = Facts(
            observed=observed,
            topology=judge(observed, sentinels=spec.sentinel_pod_count if spec else len(sentinel_names)),
            spec=spec,
            spec_error=spec_error,
            vitals={pod: answers.vitals(heard[pod].found) for pod in data_names if heard[pod].found},
            pods=pods,
            zones=await self._zones(views),
        )
        if self._is_deep:
            facts = await self._look_deeper(facts, heard, addresses)
        return replace(facts, unseen=tuple(dict.fromkeys(self._unseen)))

    # -- the set's own pods -------------------------------------------------------------------------------------

    async def _ask(
        self,
        pods: Mapping[str, Object],
        data_names: Iterable[str],
        sentinel_names: Iterable[str],
        addresses: Mapping[str, str | None],
        master_name: str,
    ) -> dict[str, _Heard]:
        data_names, sentinel_names = tuple(data_names), tuple(sentinel_names)
        data_targets = [(a, names.REDIS_PORT) for pod in data_names if (a := addresses[pod])]
        sentinel_targets = [(a, names.SENTINEL_PORT) for pod in sentinel_names if (a := addresses[pod])]
        targets = [*data_targets, *sentinel_targets] if self._is_deep else []
        known = (self._target.resource.get("status") or {}).get("master") or {}

        def words(pod: str) -> str:
            others = [target for target in targets if target[0] != addresses[pod]]
            if pod in data_names:
                return script(names.REDIS_PORT, DATA_QUESTIONS, knocks=others)
            latency_of = known.get("address") if self._is_deep else None
            return script(
                names.SENTINEL_PORT, sentinel_commands(master_name), knocks=others, latency_of=latency_of
            )

        async def one(pod: str) -> _Heard:
            if pod not in pods:
                return _Heard(pod=pod, found={})
            container = names.CONTAINER_REDIS if pod in data_names else names.CONTAINER_SENTINEL
            try:
                ran = await self._pods.run(
                    self._target.namespace,
                    pod,
                    container,
                    ["sh", "-c", words(pod)],
                    deadline_s=POD_DEADLINE_S,
                )
            except Forbidden as error:
                # The same right for all pods: said once.
                return _Heard(
                    pod=pod, found={}, unseen=Unseen(what="what Redis says in its pods", why=error.message)
                )
            except KubeError as error:
                return _Heard(pod=pod, found={}, unseen=Unseen(what=f"pod {pod}", why=error.message))
            return _Heard(pod=pod, found=answers.answers(ran.stdout))

        heard = await asyncio.gather(*(one(pod) for pod in (*data_names, *sentinel_names)))
        self._unseen += [one.unseen for one in heard if one.unseen is not None]
        return {one.pod: one for one in heard}

    # -- everything around it -----------------------------------------------------------------------------------

    async def _look_deeper(
        self, facts: Facts, heard: Mapping[str, _Heard], addresses: Mapping[str, str | None]
    ) -> Facts:
        pod_of = {canonical(address): pod for pod, address in addresses.items() if address}
        knocks: list[Knock] = []
        latencies: dict[str, tuple[float, float]] = {}
        for pod, one in heard.items():
            knocks += answers.knocks(pod, one.found, pods=pod_of)
            measured = answers.latency(one.found)
            if measured is not None:
                latencies[pod] = measured
        namespace = self._target.namespace
        contex, policies, own, lease = await asyncio.gather(
            find_contex(self._kube, self._pods, facts, named=self._contex, unseen=self._unseen),
            self._or_unseen(self._kube.list(NETWORK_POLICY, namespace), "NetworkPolicies", []),
            self._or_none(self._kube.get(NAMESPACE, None, namespace)),
            self._lease(),
        )
        labels = ((own or {}).get("metadata") or {}).get("labels") or {
            "kubernetes.io/metadata.name": namespace
        }
        found, is_known = lease
        operator = await self._leader(found)
        return replace(
            facts,
            knocks=tuple(knocks),
            latency_ms=latencies,
            contex=contex,
            policies=tuple(policies),
            namespace_labels=labels,
            operator=operator,
            lease=found,
            lease_age_s=_age_s(found),
            is_lease_known=is_known,
        )

    async def _zones(self, pods: Iterable[Pod]) -> dict[str, str]:
        nodes = sorted({pod.node for pod in pods if pod.node})
        bodies = await asyncio.gather(*(self._or_none(self._kube.get(NODE, None, node)) for node in nodes))
        return {
            node: zone
            for node, body in zip(nodes, bodies, strict=True)
            if (zone := ((body or {}).get("metadata") or {}).get("labels", {}).get(ZONE))
        }

    async def _lease(self) -> tuple[Object | None, bool]:
        """The Lease of the operator of this namespace, else the freshest of a cluster-wide one; is it known?"""
        try:
            own = await self._kube.get(LEASE, self._target.namespace, names.LEASE)
            if own is not None:
                return own, True
            everywhere = await self._kube.list(LEASE, None, fields=f"metadata.name={names.LEASE}")
        except KubeError:
            return None, False
        wide = [
            lease
            for lease in everywhere
            if (lease["metadata"].get("labels") or {}).get(names.LABEL_SCOPE) == names.SCOPE_CLUSTER
        ]
        return (min(wide, key=lambda lease: _age_s(lease) or 0.0) if wide else None), True

    async def _leader(self, lease: Object | None) -> End | None:
        """The pod that holds the Lease, where it is in this namespace."""
        if lease is None or lease["metadata"]["namespace"] != self._target.namespace:
            return None
        pod = str((lease.get("spec") or {}).get("holderIdentity") or "").split("_")[0]
        body = await self._or_none(self._kube.get(POD, self._target.namespace, pod)) if pod else None
        if body is None:
            return None
        labels = body["metadata"].get("labels") or {}
        return End(pod=pod, labels=labels, ip=(body.get("status") or {}).get("podIP"))

    async def _or_unseen(self, question: Awaitable[T], what: str, otherwise: T) -> T:
        try:
            return await question
        except NotFound:
            return otherwise
        except KubeError as error:
            self._unseen.append(Unseen(what=what, why=error.message))
            return otherwise

    @staticmethod
    async def _or_none(question: Awaitable[T | None]) -> T | None:
        """For what is only good to know: a user without rights on nodes and namespaces is common."""
        try:
            return await question
        except KubeError:
            return None


def parsed(resource: Object) -> tuple[Spec | None, str | None]:
    """The spec, or why it is none."""
    try:
        return parse(resource), None
    except SpecError as error:
        return None, str(error)


def members(
    resource: Object, spec: Spec | None, pods: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Data pods and sentinels: those that the spec asks for, or those that are there where it cannot be parsed."""
    if spec is not None:
        metadata = resource["metadata"]
        who = Identity(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        return data_pods(who, spec), sentinel_pods(who, spec)
    sentinels = tuple(
        sorted(
            name
            for name, body in pods.items()
            if body["metadata"]["labels"].get(names.LABEL_COMPONENT) == names.COMPONENT_SENTINEL
        )
    )
    return tuple(sorted(set(pods) - set(sentinels))), sentinels


def _unasked(pod: str, heard: _Heard, pods: Iterable[Pod]) -> Reach | None:
    """How a pod that was not asked is reached: a server in a pod that is not there, or cannot be entered."""
    if heard.found:
        return None
    known = next((one for one in pods if one.name == pod), None)
    return Reach.NO_ADDRESS if known is None else Reach.OTHER


def _data(pod: str, address: str | None, heard: _Heard, pods: Iterable[Pod]) -> DataNode:
    reach = _unasked(pod, heard, pods)
    if reach is not None:
        return DataNode(pod=pod, address=address, reach=reach)
    return answers.data_view(pod, address, heard.found)


def _sentinel(
    pod: str, address: str | None, heard: _Heard, pods: Iterable[Pod], *, master_name: str
) -> SentinelNode:
    reach = _unasked(pod, heard, pods)
    if reach is not None:
        return SentinelNode(pod=pod, address=address, reach=reach)
    return answers.sentinel_view(pod, address, heard.found, master_name=master_name)


def _age_s(lease: Object | None) -> float | None:
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    return (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds() if renewed else None
