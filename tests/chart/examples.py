"""Values that many tests start from."""

from __future__ import annotations

from typing import Any, Final

# A highly available Redis, and Contex that asks its sentinels.
SENTINEL: Final[dict[str, Any]] = {
    "contex": {"redis": {"mode": "sentinel"}},
    "redis": {"architecture": "replication", "sentinel": {"enabled": True}},
}
# The same with passwords.
SENTINEL_AUTH: Final[dict[str, Any]] = {
    "contex": {"redis": {"mode": "sentinel"}},
    "redis": {"architecture": "replication", "sentinel": {"enabled": True}, "auth": {"enabled": True}},
}
EXTERNAL: Final[dict[str, Any]] = {"redis": {"enabled": False}}
EXTERNAL_SENTINEL: Final[dict[str, Any]] = {
    "redis": {"enabled": False},
    "contex": {"redis": {"mode": "sentinel", "sentinel": {"hosts": "a:26379, b:26379 ,c:26379"}}},
}
# Every optional object and field at once.
EVERYTHING: Final[dict[str, Any]] = {
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "ingress": {"enabled": True},
    "podLabels": {"team": "search"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
            }
        }
    },
    "priorityClassName": "high",
    "extraEnv": [{"name": "AUTH_ENABLED", "value": "true"}],
    "service": {"annotations": {"a": "b"}},
    "contex": {
        "redis": {"mode": "sentinel", "password": "in plain sight", "sentinel": {"db": 3}},
        "security": {"apiKeySalt": "pinch"},
        "opensearch": {"url": "http://opensearch:9200"},
        "tracing": {"enabled": True, "endpoint": "http://collector:4317"},
    },
    "redis": {
        "architecture": "replication",
        "durability": "strict",
        "config": {
            "maxmemory-policy": "noeviction",
            "timeout": 0,
            "activedefrag": True,
            "lfu-decay-time": 1000000,
        },
        "auth": {"enabled": True},
        "sentinel": {
            "enabled": True,
            "replicas": 5,
            "downAfterMilliseconds": 600000,
            "failoverTimeoutMilliseconds": 3000000,
        },
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
                }
            }
        },
        "priorityClassName": "high",
        "podLabels": {"team": "search"},
        "podAnnotations": {"note": "ours"},
        "securityContext": {"runAsUser": "", "fsGroup": 1000670000},
        "master": {"persistence": {"storageClass": "fast"}},
        "replica": {"persistence": {"storageClass": "fast"}},
    },
    "operator": {
        "replicas": 2,
        "clusterWide": True,
        "nodeSelector": {"disk": "ssd"},
        "extraEnv": [{"name": "A", "value": "b"}],
        "podAnnotations": {"note": "ours"},
    },
    "networkPolicy": {"enabled": True, "extraFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
}
