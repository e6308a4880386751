"""Every word that the operator shares with the cluster: group, labels, annotations, reasons, children's names.

Nothing else in the package spells a label, a condition, a reason or a child's name. Lowest layer: imports nothing.
"""

from __future__ import annotations

import hashlib
from typing import Final

GROUP: Final = "redis.contex.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "ContexRedis"
PLURAL: Final = "contexredises"

# Field managers of server-side apply (children, role labels, env of foreign Deployments).
MANAGER: Final = "contex-redis-operator"
MANAGER_ROLES: Final = f"{MANAGER}/roles"
MANAGER_CONTEX: Final = f"{MANAGER}/contex"

LEASE: Final = "contex-redis-operator"
LABEL_SCOPE: Final = f"{GROUP}/scope"  # on the Lease: "cluster" or "namespace"
SCOPE_CLUSTER: Final = "cluster"
SCOPE_NAMESPACE: Final = "namespace"

# Labels. Every selector contains LABEL_CLUSTER.
LABEL_CLUSTER: Final = f"{GROUP}/cluster"  # the ContexRedis' name
LABEL_COMPONENT: Final = f"{GROUP}/component"  # where a pod was born: master, replica, sentinel
LABEL_ROLE: Final = f"{GROUP}/role"  # what a data pod is now: master or replica; absent = unknown
LABEL_APP: Final = "app"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_POD_NAME: Final = "statefulset.kubernetes.io/pod-name"

APP_DATA: Final = "redis"
APP_SENTINEL: Final = "redis-sentinel"

COMPONENT_MASTER: Final = "master"
COMPONENT_REPLICA: Final = "replica"
COMPONENT_SENTINEL: Final = "sentinel"

ROLE_MASTER: Final = "master"
ROLE_REPLICA: Final = "replica"

# Annotations.
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"  # hash of what the operator applied last
ANNOTATION_CONFIG: Final = f"{GROUP}/config"  # on pod templates: the configuration that needs a restart
ANNOTATION_CRD_VERSION: Final = (
    f"{GROUP}/version"  # on the CustomResourceDefinition: the chart that brought it
)

# On the resource, by people: `any` or the pod that is to become master; taken away when it is acted on.
ANNOTATION_SWITCHOVER: Final = f"{GROUP}/switchover"
SWITCHOVER_ANY: Final = "any"

# On the resource, by people: pods whose copies of the data are to be done without in a cold start; good once.
ANNOTATION_ELECT_WITHOUT: Final = f"{GROUP}/elect-without"

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

# Keys of the auth Secrets.
KEY_PASSWORD: Final = "password"  # noqa: S105 - the name of a key
KEY_SENTINEL_PASSWORD: Final = "sentinel-password"  # noqa: S105 - the name of a key

# Names of children that do not derive from the resource's name alone are refused beyond this length: a
# StatefulSet's name plus "-" and a 10 character revision hash must fit into a 63 character label.
MAX_NAME_LENGTH: Final = 43

CONTAINER_REDIS: Final = "redis"
CONTAINER_SENTINEL: Final = "sentinel"


class Condition:
    """Types of the conditions in status, metav1 form."""

    READY: Final = "Ready"
    PROGRESSING: Final = "Progressing"
    DEGRADED: Final = "Degraded"
    FAILOVER_READY: Final = "FailoverReady"
    DATA_LOSS_RISK: Final = "DataLossRisk"
    SPEC_VALID: Final = "SpecValid"
    CONTEX_WIRED: Final = "ContexWired"
    AUTH_CHANGED: Final = "AuthChanged"


class Reason:
    """Reasons of conditions that more than one module speaks of."""

    ROLLING_OUT: Final = "RollingOut"
    ROLLOUT_STOPPED: Final = "RolloutStopped"
    SCALING: Final = "Scaling"
    MEMORY_TOO_SMALL: Final = "MemoryTooSmall"
    DATA_WITHOUT_VOLUME: Final = "DataWithoutVolume"
    WRITES_REFUSED: Final = "WritesRefused"
    SWITCHOVER_REFUSED: Final = "SwitchoverRefused"


class Phase:
    """One word for people in status.phase."""

    PENDING: Final = "Pending"
    BOOTSTRAPPING: Final = "Bootstrapping"
    READY: Final = "Ready"
    UPDATING: Final = "Updating"
    FAILING_OVER: Final = "FailingOver"
    DEGRADED: Final = "Degraded"
    PAUSED: Final = "Paused"
    INVALID: Final = "Invalid"


class Children:
    """The names of everything that a ContexRedis called `name` owns.

    A resource called `redis` gives exactly the names of the documentation: StatefulSets `redis-master`,
    `redis-replica`, `redis-sentinel`; the Service `redis-master` leads to the current master wherever it runs.
    """

    def __init__(self, name: str) -> None:
        self.cluster = name
        self.master = f"{name}-master"  # StatefulSet and Service
        self.replica = f"{name}-replica"  # StatefulSet and Service
        self.sentinel = f"{name}-sentinel"  # StatefulSet and headless Service
        self.nodes = f"{name}-nodes"  # headless Service of the data pods
        self.config = f"{name}-config"
        self.sentinel_config = f"{name}-sentinel-config"
        self.contex_env = f"{name}-contex-env"  # ConfigMap and Secret
        self.contex_shim = f"{name}-contex-shim"
        self.auth = f"{name}-auth"
        self.auth_active = f"{name}-auth-active"

    def master_pod(self) -> str:
        return f"{self.master}-0"

    def replica_pods(self, count: int) -> tuple[str, ...]:
        return tuple(f"{self.replica}-{i}" for i in range(count))

    def sentinel_pods(self, count: int) -> tuple[str, ...]:
        return tuple(f"{self.sentinel}-{i}" for i in range(count))


def sentinel_myid(*, namespace: str, pod: str, name: str) -> str:
    """The fixed 40 hex digit id of a sentinel: the loss of its volume makes no extra voter of it."""
    return hashlib.sha1(f"{namespace}/{name}/{pod}".encode(), usedforsecurity=False).hexdigest()
