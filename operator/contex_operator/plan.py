"""From a snapshot to what is to be done now: pure, total, and asked again after every step.

The order: names are checked before anything is written, then passwords, Services and their addresses,
then what mounts them, then the procedure that the set needs, then where traffic goes, at last Contex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import contexenv, names
from .actions import Action, CompleteMove, RememberInStatus, SentinelSet
from .children import check_names, ensure, in_force, leftovers, wanted_names
from .credentials import credentials
from .handover import catch_up, hand_over, unfinished
from .identities import announce, forget_former, relearn, rename_master
from .model import Observed, utc
from .moves.resume import REASONS, Case, judge_intent
from .names import Reason
from .owned import owned
from .procedures.alone import serve_again
from .procedures.bootstrap import bootstrap
from .procedures.cold_start import cold_start, stuck, unasked
from .procedures.elect import sentinel_settings
from .procedures.live_config import LiveConfig, last_good_config, live_config
from .procedures.memory import keep_memory
from .procedures.mend import lead_back, repair, restore
from .procedures.rollout import last_good_template, replace_stuck, rollout, stopped
from .procedures.scale import dismantle, forget, shrink
from .procedures.step import Step
from .render import (
    Body,
    Identity,
    config_maps,
    data_pods,
    master_service,
    sentinel_pods,
    stateful_sets,
    template_fingerprint,
    with_template,
)
from .routing import close_strays, label_roles, move_service
from .spec import Spec, Wiring
from .topology import Topology, View

SOON_S = 0.3  # something was just done: look again
WAITING_S = 0.7  # something is being waited for
SETTLED_S = 15.0  # nothing to do: hints wake the reconcile earlier


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`actions` in order; `again_s` when to look again; the rest is what status has to tell."""

    actions: tuple[Action, ...]
    again_s: float
    note: str | None = None
    risk: tuple[str, str] | None = None
    missing: tuple[str, ...] = ()  # pods that are waited for
    blocked: tuple[str, str] | None = None  # reason and sentence of what a person has to mend
    wiring: tuple[contexenv.Wiring, ...] = ()
    auth_changed: str | None = None
    reason: str = "Working"  # of Progressing, beside `note`
    fingerprint: str | None = None  # of the pod templates that the spec leads to


def plan(
    spec: Spec, observed: Observed, topology: Topology, *, is_ready: bool, fresh: tuple[str, str]
) -> Plan:
    """What to do now. Raises NameTaken before anything is planned where a child's name is somebody else's.

    `is_ready` is the condition Ready as this snapshot shows it; `fresh` are two new passwords for where they are due.
    """
    who = Identity(namespace=observed.namespace, name=observed.name, uid=observed.uid)
    wait = check_names(who, observed, wanted_names(who, spec))
    wiring = contexenv.wire(who, spec, observed) if spec.contex.wiring is Wiring.PATCH else ()
    if wait:
        return Plan(actions=(), again_s=WAITING_S, note=wait, wiring=wiring)
    auth = credentials(who, spec, observed, fresh=fresh)
    if auth.problem and not _has_pods(observed):
        return Plan(actions=(), again_s=SETTLED_S, blocked=auth.problem, wiring=wiring)

    spec, too_small = keep_memory(who, spec, observed, topology)
    held = in_force(who, spec, observed.objects, status=observed.status)
    fingerprint = template_fingerprint(stateful_sets(who, held))
    halt = stopped(observed.status, fingerprint=fingerprint)
    configured = held if spec.is_sentinel_mode else spec
    if halt:
        configured = last_good_config(configured, last_good_template(who, observed, names.COMPONENT_MASTER))
    config = live_config(who, configured, observed, topology)
    rendered = stateful_sets(who, held, restart=config.restart)
    sets = _templates(who, observed, rendered, halt=halt)
    actions = owned(who, held, observed, topology, auth, sets, config.conf)
    step = replace_stuck(who, held, observed) or _procedure(who, held, observed, topology)
    if step is None and _is_settled(observed, topology):
        smaller = stateful_sets(who, spec, restart=config.restart) if held != spec else []
        smaller = _templates(who, observed, smaller, halt=halt)
        step = (
            dismantle(who, spec, observed, topology)
            or shrink(who, spec, observed, topology, smaller={b["metadata"]["name"]: b for b in smaller})
            or rollout(who, held, observed, topology, fingerprint=fingerprint)
            or forget(held, observed, topology)
            or forget_former(held, observed, topology)
            or catch_up(held, observed, topology)
        )
    actions += step.actions if step else ()
    actions += _traffic(who, held, observed, topology)
    actions += close_strays(observed, topology)
    actions += repair(observed, topology)
    actions += lead_back(held, observed, topology)
    actions += restore(held, observed, topology, staying=data_pods(who, spec))
    actions += unasked(observed) if topology.master is not None and not observed.status.get("intent") else ()
    actions += _sentinel_settings(held, observed, topology)
    actions += announce(held, observed)
    actions += relearn(observed, topology)
    actions += leftovers(who, held, observed)
    # Last, since a node may refuse them.
    actions += _configure(who, held, observed, config)
    # In a set that is settled otherwise: a move binds its writes to what was observed.
    handed = hand_over(held, observed, topology, asked=step.handover if step else None)
    if handed is not None and not observed.status.get("intent"):
        step = replace(handed, reason=step.reason) if step and step.handover else handed
        actions += () if actions else handed.actions
    if is_ready and step is None:
        actions += [wired.action for wired in wiring if wired.action]
    decided = Plan(
        actions=tuple(actions),
        again_s=_again(actions, step=step, is_ready=is_ready),
        note=step.note if step else None,
        risk=step.risk if step else None,
        missing=step.missing if step else (),
        blocked=auth.problem or too_small or _halted(halt) or (step.blocked if step else None),
        wiring=wiring,
        auth_changed=auth.changed,
        reason=Reason.ROLLOUT_STOPPED if halt else step.reason if step else "Working",
        fingerprint=fingerprint,
    )
    # Paused: all that was judged is told, nothing of it is done.
    return replace(decided, actions=(), again_s=SETTLED_S) if spec.paused else decided


def _again(actions: list[Action], *, step: Step | None, is_ready: bool) -> float:
    if actions:
        return SOON_S
    return WAITING_S if step is not None or not is_ready else SETTLED_S


def _has_pods(observed: Observed) -> bool:
    return any(kind == "StatefulSet" and body for (kind, _), body in observed.objects.items())


def _configure(who: Identity, spec: Spec, observed: Observed, config: LiveConfig) -> list[Action]:
    """CONFIG SET on the nodes and, when all have taken it, the file for the next start."""
    actions = list(config.commands)
    recorded: Mapping[str, str] = observed.status.get("addresses") or {}
    if config.conf_after is not None and {*data_pods(who, spec), *sentinel_pods(who, spec)} <= set(recorded):
        actions += ensure(config_maps(who, spec, addresses=recorded, conf=config.conf_after), observed)
    return actions


def _is_settled(observed: Observed, topology: Topology) -> bool:
    """There is a master, and no other move is under way: what was asked for may be changed."""
    intent = observed.status.get("intent")
    return topology.master is not None and bool(observed.status.get("initialized")) and not intent


def _templates(
    who: Identity, observed: Observed, bodies: list[Body], *, halt: Mapping[str, str] | None
) -> list[Body]:
    """The StatefulSets, with the templates that worked last where the rollout of the present ones was stopped.

    Else the next drain or crash would bring up another pod of the bad one.
    """
    if halt is None:
        return bodies
    restored = []
    for body in bodies:
        component = body["metadata"]["labels"][names.LABEL_COMPONENT]
        template = last_good_template(who, observed, component)
        restored.append(body if template is None else with_template(body, template))
    return restored


def _halted(halt: Mapping[str, str] | None) -> tuple[str, str] | None:
    if halt is None:
        return None
    return Reason.ROLLOUT_STOPPED, (
        f"the change did not work on its first pod, {halt['pod']}: {halt['cause']}; the pods are as they were "
        "before it, and it is tried again when the spec changes"
    )


def strangers(who: Identity, spec: Spec, observed: Observed) -> tuple[str, ...]:
    """Data claims of this name that no pod of the spec will mount, but for those of pods that were scaled away."""
    retired = {f"data-{pod}" for pod in observed.status.get("retired") or {}}
    mounted = {f"data-{pod}" for pod in (*data_pods(who, spec), *sentinel_pods(who, spec))}
    sentinel_prefix = f"data-{who.children.sentinel}-"
    return tuple(
        c for c in observed.claims if c not in mounted | retired and not c.startswith(sentinel_prefix)
    )


def _procedure(who: Identity, spec: Spec, observed: Observed, topology: Topology) -> Step | None:
    """The procedure that this snapshot calls for, None where the set runs (or heals) by itself."""
    if not spec.sentinel_pod_count:
        return serve_again(who, observed, topology) or _standalone(observed, topology)
    if not observed.data or not _has_pods(observed):
        return Step(note="waiting for the pods to be made")
    intent = observed.status.get("intent") or {}
    if intent.get("procedure") in REASONS:
        return unfinished_move(spec, observed, topology)
    if topology.view is View.AGREED and topology.master is not None:
        if intent or not observed.status.get("initialized"):
            done = RememberInStatus(fields={"initialized": True, "intent": None})
            return Step(note=f"{topology.master.pod} is master by the sentinels' majority", actions=(done,))
        return None
    renamed = rename_master(spec, observed, topology)
    if renamed is not None:
        return renamed
    hopeless = stuck(observed, topology)
    if hopeless is not None and not intent:
        return hopeless
    if intent or _memory_is_lost(observed, topology):
        leftover = strangers(who, spec, observed)
        fresh_start = bootstrap(spec, observed, strangers=leftover)
        return fresh_start or cold_start(spec, observed, strangers=leftover)
    if topology.view is View.MINORITY and not observed.status.get("initialized"):
        return bootstrap(spec, observed, strangers=strangers(who, spec, observed))
    return None


def unfinished_move(spec: Spec, observed: Observed, topology: Topology) -> Step:
    """A switchover or an assisted failover that another process began, or this one could not end (rule 5)."""
    intent = observed.status["intent"]
    what = f"the {intent['procedure']} from {intent['from']} to {intent['pod']}"
    forget: dict[str, object] = {"initialized": True, "intent": None}
    match judge_intent(observed, topology, intent):
        case Case.ENDED:
            return Step(note=f"{what} is over", actions=(RememberInStatus(fields=forget),))
        case Case.DEMOTE:
            note = f"{what} was interrupted; {intent['from']} serves on and {intent['pod']} follows it again"
            return Step(note=note, actions=(RememberInStatus(fields=forget),))
        case Case.DROP:
            cast = RememberInStatus(fields={**forget, "votesCast": utc(observed.now)})
            return Step(note=f"{what} is given up", actions=(cast,))
        case Case.COMPLETE:
            course = unfinished(spec, observed, topology)
            if course is not None:
                complete = CompleteMove(course=course, procedure=intent["procedure"])
                return Step(note=f"{what} is being completed", actions=(complete,))
    return Step(note=f"{what} was interrupted; what came of it is not known yet")


def _memory_is_lost(observed: Observed, topology: Topology) -> bool:
    """A majority of the sentinels answers and monitors nothing: they cannot teach each other any more."""
    return sum(node.is_up and not node.monitors for node in observed.sentinels) >= topology.majority


def _standalone(observed: Observed, topology: Topology) -> Step | None:
    if topology.master is None:
        return Step(note="waiting for the Redis to answer")
    if not observed.status.get("initialized"):
        done = RememberInStatus(fields={"initialized": True})
        return Step(note=f"{topology.master.pod} answers", actions=(done,))
    return None


def _traffic(who: Identity, spec: Spec, observed: Observed, topology: Topology) -> list[Action]:
    live = observed.objects.get(("Service", who.children.master))
    if live is None:
        return []
    if topology.master is None:
        return label_roles(observed, topology, service_moved=False)
    target = topology.master.pod
    move = move_service(observed, body=master_service(who, spec, target), to=target)
    return move + label_roles(observed, topology, service_moved=True)


def _sentinel_settings(spec: Spec, observed: Observed, topology: Topology) -> list[Action]:
    """SENTINEL SET where a sentinel's settings differ: they are per sentinel and not gossiped. Never in unrest."""
    if topology.view is not View.AGREED or not topology.is_calm:
        return []
    wanted = {"quorum": spec.sentinel.quorum, **sentinel_settings(spec)}
    count = len(observed.sentinels)
    all_in = all(s.is_up and s.monitors and len(set(s.peers)) >= count - 1 for s in observed.sentinels)
    actions: list[Action] = []
    for node in observed.sentinels:
        different = {key: value for key, value in wanted.items() if node.settings.get(key) != value}
        if not all_in and node.settings.get("quorum", 0) < spec.sentinel.quorum:
            # A quorum above what is there yet would end every failover: it is raised after the last one is in.
            different.pop("quorum", None)
        if node.is_up and node.monitors and different:
            actions.append(
                SentinelSet(
                    pod=node.pod,
                    address=str(node.address),
                    master_name=spec.sentinel.master_name,
                    settings=different,
                )
            )
    return actions
