"""A stage for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.moves.stage import Stage, stage


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Stage]:
    """One master, two replicas, three sentinels, settled."""
    with stage(tmp_path) as made:
        yield made
