"""Clients of a stage, and the judgement of what they were told."""

from __future__ import annotations

from tests.component.moves.stage import Stage
from tests.workload import reading
from tests.workload.checker import Verdict, check
from tests.workload.history import Op
from tests.workload.loopback import within
from tests.workload.process import Writers
from tests.workload.writers import stream_of


def asking(here: Stage) -> Writers:
    """A client that asks the sentinels whenever it connects."""
    return Writers(
        ("--client", "asking", "--interval-ms", "5", "sentinel", "--sentinels", here.set.sentinel_addresses)
    )


def judge(here: Stage, history: list[Op]) -> Verdict:
    """Read the data of every living node once they have settled, and judge."""
    living = {n.name: n.client for n in here.set.nodes if n.process.poll() is None}
    within(60, lambda: reading.settled(reading.replication(living)), what="one master, and synced replicas")
    master = here.set.master()
    assert master is not None
    data = reading.read_all(living, [stream_of(client) for client in sorted({op.client for op in history})])
    return check(history, data=data, master=master.name)
