"""What doctor prints for each of the documentation's rows: docs/troubleshooting.md shows exactly this.

After a change of a check or of how findings are printed: `PYTHONPATH=.:operator python -m tests.unit.cli_samples`.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from contex_operator.cli.checks import examine
from contex_operator.cli.facts import Facts
from contex_operator.cli.terminal import Screen

from tests.unit.cli_world import CONTEX_IP, conditions, contex, env, facts, policy, seen, services, vitals
from tests.unit.world import (
    R0,
    R1,
    SENTINELS,
    SETTINGS,
    M,
    healthy,
    master,
    replica,
    replicated,
    resource,
    sentinel,
)
from tests.unit.world import snapshot as world_snapshot

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
CONTEX: Final = {"deployments": [{"name": "contex"}]}
_BLOCK: Final = re.compile(r"<!-- doctor: ([a-z-]+) -->\n(?:```text\n.*?```\n)?", re.DOTALL)


def status(**changed: Any) -> dict[str, Any]:
    return {"observedGeneration": 1, "phase": "Ready", **changed}


def with_sentinels(settings: Mapping[str, int], **fields: Any) -> Facts:
    sentinels = [sentinel(pod, settings={**SETTINGS, **settings}) for pod in SENTINELS]
    observed = world_snapshot(
        [master(), replica(R0), replica(R1)],
        sentinels,
        objects=services(),
        resource=resource(status=status()),
    )
    return facts(observed, **fields)


def second_master() -> Facts:
    observed = world_snapshot(
        [master(offset=98231, normal_clients=12), master(R1, offset=98010, normal_clients=2), replica(R0)],
        [sentinel(pod) for pod in SENTINELS],
        objects=services(),
        resource=resource(status=status(phase="Degraded")),
    )
    return facts(observed)


def contex_denied() -> Facts:
    said = "WRONGPASS invalid username-password pair or user is disabled."
    return facts(status=status(), contex=(contex(master=seen("10.96.1.1", 6379, error=said)),))


SAMPLES: Final[dict[str, Facts]] = {
    "contex-master-name": facts(
        status=status(
            **conditions(
                ContexWired=(
                    "False",
                    "EnvOwnedElsewhere",
                    "container contex of Deployment contex sets REDIS_SENTINEL_MASTER itself; remove them there, "
                    "or set spec.contex.takeOver to true",
                )
            )
        ),
        contex=(
            contex(
                env=env(REDIS_SENTINEL_MASTER="primary"),
                sentinels=tuple(seen(f"{pod}.redis-sentinel") for pod in SENTINELS),
                master=None,
            ),
        ),
    ),
    "network-policy": facts(
        status=status(),
        spec=replicated(),
        policies=(
            policy(
                "default-deny",
                pods={"matchLabels": {"app": "contex"}},
                types=("Egress",),
                egress=[{"ports": [{"port": 6379}]}],
            ),
        ),
        contex=(
            contex(
                sentinels=tuple(
                    seen(f"{pod}.redis-sentinel", error="no answer within 3 s") for pod in SENTINELS
                ),
                master=None,
            ),
        ),
    ),
    "quorum-setting": with_sentinels({"quorum": 5}),
    "two-masters": second_master(),
    "slow-failover-settings": with_sentinels(
        {"down-after-milliseconds": 9000},
        spec=replicated(
            sentinel={"downAfterMilliseconds": 9000, "failoverTimeoutMilliseconds": 30000}, contex=CONTEX
        ),
    ),
    "contex-pool": facts(status=status(), vitals={M: vitals(connections={CONTEX_IP: 48})}),
    "contex-password": contex_denied(),
}
HEALTHY: Final = facts(healthy(objects=services(), resource=resource(status=status())))


def printed(given: Facts) -> str:
    """What doctor prints into a pipe."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        Screen().doctor(given, examine(given))
    return out.getvalue()


def with_samples(page: str) -> str:
    """The page with each of its samples as doctor prints it."""
    return _BLOCK.sub(
        lambda block: f"<!-- doctor: {block[1]} -->\n```text\n{printed(SAMPLES[block[1]])}```\n", page
    )


if __name__ == "__main__":
    PAGE.write_text(with_samples(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
