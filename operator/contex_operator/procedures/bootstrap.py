"""The first start of a set: only with proof that there is nothing to lose.

Proof: never initialized, every expected node answers, each began with an empty volume and holds no key, none is
master, no sentinel monitors anything, and no claim is left over that no pod will mount. Source: Redis' replicas
discard what they hold when they follow, so a bootstrap over old data would be its end.
"""

from __future__ import annotations

from ..model import Observed, Reach
from ..spec import Spec
from .elect import carry_out, remember_intent
from .step import Step

NAME = "bootstrap"


def bootstrap(spec: Spec, observed: Observed, *, strangers: tuple[str, ...]) -> Step | None:
    """The next step of a bootstrap, None where this is no fresh set (a cold start by data has to decide).

    `strangers` are claims of this name that no pod of the spec will mount.
    """
    intent = observed.status.get("intent") or {}
    if intent.get("procedure") == NAME:
        return carry_out(spec, observed, intent=intent)
    if observed.status.get("initialized"):
        return None
    waiting = [node.pod for node in observed.data if node.reach is not Reach.UP or node.loading]
    if waiting:
        return Step(note=f"waiting for {', '.join(waiting)} to answer")
    silent = [node.pod for node in observed.sentinels if not node.is_up]
    if silent:
        return Step(note=f"waiting for {', '.join(silent)} to answer")
    if any(node.monitors for node in observed.sentinels) or any(node.is_master for node in observed.data):
        return None
    if not all(node.holding is not None and node.holding.fresh and not node.keys for node in observed.data):
        return None
    if strangers:
        return Step(
            note="bootstrap is blocked",
            risk=(
                "RetainedClaims",
                f"claims {', '.join(strangers)} of an earlier {observed.name} hold data that no pod of this one "
                "would mount; raise spec.replicas to what it was, or delete those claims",
            ),
        )
    return remember_intent(NAME, observed.data[0])
