"""A laboratory for the tests of the laboratory, and a small workload in it.

It has a name of its own, so that it stands beside whatever else runs on this machine. It is shared by all tests that
only look or do faults and undo them; tests that ruin a laboratory bring up one for themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab import Lab
from tests.lab.workload import NAMESPACE, Redis, manifest


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    """The laboratory, up; taken down at the end."""
    made = Lab("pytest")
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def shared_redis(shared_lab: Lab) -> Redis:
    """Three Redis pods, one on each node, with a volume each; ready."""
    shared_lab.kubectl("apply", "-f", "-", input=json.dumps(manifest(NAMESPACE)))
    made = Redis(shared_lab, NAMESPACE)
    made.wait_ready()
    return made


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The laboratory without any fault, before and after the test."""
    assert shared_lab.faults.active() == []
    yield shared_lab
    left = shared_lab.faults.heal()
    assert left == [], "the test left faults behind"


@pytest.fixture
def redis(lab: Lab, shared_redis: Redis) -> Redis:
    """The Redis pods, all ready and answering."""
    assert lab is shared_redis.lab
    shared_redis.wait_ready()
    return shared_redis
