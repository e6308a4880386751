"""The kinds of the Kubernetes API that the operator uses, and the paths where they live.

Paths are built from these values alone: no discovery, so no cache file on a read-only root filesystem, no
round trip at the start. Imports only `names`; whoever calls kube reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from contex_operator import names


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of object. `group` is "" for the core group; `plural` is its word in paths and RBAC rules."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As manifests spell it: `apps/v1`, and `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, *, subresource: str | None = None
    ) -> str:
        """The path of one object, or of the collection where `name` is None.

        `namespace` None of a namespaced kind is the collection over all namespaces. Raises ValueError for an
        object of a namespaced kind without a namespace: the API would answer 404 as if it did not exist.
        """
        if name is not None and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name} is namespaced: its namespace is missing")
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
            if subresource is not None:
                parts.append(subresource)
        return "/" + "/".join(parts)


CONTEX_REDIS: Final = Resource(group=names.GROUP, version=names.VERSION, plural=names.PLURAL, kind=names.KIND)
STATEFUL_SET: Final = Resource(group="apps", version="v1", plural="statefulsets", kind="StatefulSet")
CONTROLLER_REVISION: Final = Resource(
    group="apps", version="v1", plural="controllerrevisions", kind="ControllerRevision"
)
DEPLOYMENT: Final = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
SERVICE: Final = Resource(group="", version="v1", plural="services", kind="Service")
CONFIG_MAP: Final = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap")
SECRET: Final = Resource(group="", version="v1", plural="secrets", kind="Secret")
POD: Final = Resource(group="", version="v1", plural="pods", kind="Pod")
CLAIM: Final = Resource(group="", version="v1", plural="persistentvolumeclaims", kind="PersistentVolumeClaim")
DISRUPTION_BUDGET: Final = Resource(
    group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget"
)
EVENT: Final = Resource(group="events.k8s.io", version="v1", plural="events", kind="Event")
LEASE: Final = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
NODE: Final = Resource(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
NAMESPACE: Final = Resource(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
CUSTOM_RESOURCE_DEFINITION: Final = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)

BY_KIND: Final[dict[str, Resource]] = {
    resource.kind: resource
    for resource in (
        CONTEX_REDIS,
        STATEFUL_SET,
        CONTROLLER_REVISION,
        DEPLOYMENT,
        SERVICE,
        CONFIG_MAP,
        SECRET,
        POD,
        CLAIM,
        DISRUPTION_BUDGET,
        EVENT,
        LEASE,
        NODE,
        NAMESPACE,
    )
}
