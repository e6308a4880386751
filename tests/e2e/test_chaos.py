"""A few rounds of chaos by a fixed seed: the same plans in every run. `make chaos` plays the many."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.chaos.campaign import Campaign, Settings
from tests.e2e.support.cluster import Cluster

SEED: Final = 2
FOR_S: Final = 150.0
AT_LEAST: Final = 3


@pytest.mark.gate
@pytest.mark.node_fault
def test_random_faults_and_moves_break_no_promise(cluster: Cluster, tmp_path: Path) -> None:
    said: list[str] = []
    settings = Settings(seed=SEED, durability="balanced", image="redis:7-alpine", reports=tmp_path)
    outcomes = Campaign(cluster, settings, say=said.append).run(range(1, 30), for_s=FOR_S)
    broken = [sentence for outcome in outcomes for sentence in outcome.violations]
    assert not broken, "\n".join(said)
    assert len(outcomes) >= AT_LEAST, "\n".join(said)
