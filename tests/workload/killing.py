"""SIGKILL to the Redis server of a pod by `kubectl exec`: for a cluster whose nodes are out of reach."""

from __future__ import annotations

from typing import Final

# Finds the server by its command's name, not by a pid file: works in every image that has sh.
KILL_REDIS: Final = (
    'for d in /proc/[0-9]*; do read -r name <"$d/comm" || continue; case "$name" in redis-server|valkey-server) '
    'kill -9 "${d#/proc/}" && found=1;; esac; done; test -n "$found"'
)


def words(namespace: str, pod: str) -> tuple[str, ...]:
    """kubectl's words."""
    return ("exec", "-n", namespace, pod, "-c", "redis", "--", "sh", "-c", KILL_REDIS)
