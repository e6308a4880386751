"""What a run was made on: the machine, the versions, the state of the checkout."""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import time
from pathlib import Path

from bench.samples import Run
from tests.e2e.support.cluster import Cluster
from tests.workload.process import PROJECT


def describe(cluster: Cluster) -> Run:
    """A new run's name and its facts."""
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    kubernetes = cluster.kubectl("version", "-o", "json")
    version = next(line for line in reversed(kubernetes.splitlines()) if "gitVersion" in line)
    return Run(
        run=name,
        facts={
            "machine": f"{os.cpu_count()} cores ({_cpu()}), {_memory_gib():.0f} GiB of memory, "
            f"{platform.system()} {platform.release()}",
            "cluster": "the laboratory, three nodes on this machine"
            if cluster.lab
            else f"the cluster of context {cluster.context!r}",
            "Kubernetes": version.split('"')[3],
            "commit": _git("describe", "--always", "--dirty"),
            "load before": f"{os.getloadavg()[0]:.1f}",
            "Python": platform.python_version(),
        },
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def _memory_gib() -> float:
    total = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    return int(total.split()[1]) / 2**20


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
