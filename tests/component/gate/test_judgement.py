"""What the sentinels say together: `judge` of lib.sh, over all orders in which their answers can arrive."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from tests.component.gate.pods import TEMPLATES, Shell

A, B, STRANGER = "10.0.0.1", "10.0.0.2", "10.0.0.9"


def sentinel(named: str, epoch: int, *, flags: str = "master", port: int = 6379) -> str:
    return f"ok {named} {port} {epoch} {flags} 3000 ,"


BARE, REFUSED, SILENT = "bare - - - - 0 ,", "refused - - - - 0 ,", "silent - - - - 0 ,"
FAILING_OVER = "master,o_down,failover_in_progress"

CASES = [
    # all agree
    ([sentinel(A, 3)] * 3, "agreed 10.0.0.1 3"),
    ([sentinel(A, 0)] * 3, "agreed 10.0.0.1 0"),
    # a majority of all sentinels is enough, whatever the others do
    ([sentinel(A, 3), sentinel(A, 3), SILENT], "agreed 10.0.0.1 3"),
    ([sentinel(A, 3), sentinel(A, 3), BARE], "agreed 10.0.0.1 3"),
    ([sentinel(A, 3), sentinel(A, 3), REFUSED], "agreed 10.0.0.1 3"),
    ([sentinel(B, 4), sentinel(B, 4), sentinel(A, 3)], "agreed 10.0.0.2 4"),
    # the newest configuration is known to a minority only: the majority's answer is out of date
    ([sentinel(A, 3), sentinel(A, 3), sentinel(B, 4)], "split"),
    ([sentinel(A, 9), sentinel(A, 9), sentinel(B, 10)], "split"),
    ([sentinel(A, 3), sentinel(A, 3), sentinel(A, 4)], "split"),
    # one epoch, two addresses
    ([sentinel(A, 4), sentinel(A, 4), sentinel(B, 4)], "split"),
    ([sentinel(A, 3), sentinel(B, 3), SILENT], "split"),
    ([sentinel(A, 1), sentinel(A, 2), sentinel(A, 3)], "split"),
    # fewer than a majority remember anything
    ([sentinel(A, 3), SILENT, SILENT], "nobody"),
    ([sentinel(A, 3), BARE, REFUSED], "nobody"),
    ([BARE] * 3, "nobody"),
    ([SILENT] * 3, "nobody"),
    # five: two are no majority
    ([sentinel(A, 3), sentinel(A, 3), SILENT, SILENT, BARE], "nobody"),
    ([sentinel(A, 3), sentinel(A, 3), sentinel(A, 3), SILENT, BARE], "agreed 10.0.0.1 3"),
    ([sentinel(A, 3), sentinel(A, 3), sentinel(A, 3), sentinel(B, 4), SILENT], "split"),
    # a failover that one of them carries out is told apart
    ([sentinel(A, 3, flags=FAILING_OVER), sentinel(A, 3), sentinel(A, 3)], "agreed 10.0.0.1 3 failover"),
    # another port is another server
    ([sentinel(A, 3, port=6380)] * 3, "agreed 10.0.0.1:6380 3"),
    ([sentinel(STRANGER, 3)] * 3, "agreed 10.0.0.9 3"),
]


@pytest.mark.parametrize(("answers", "verdict"), CASES)
def test_the_verdict_does_not_depend_on_the_order(shell: Shell, answers: list[str], verdict: str) -> None:
    script = (
        f'CONTEX_DIR={TEMPLATES}; REDIS_PORT=6379; . "$CONTEX_DIR/lib.sh"\n'
        'name_of() { printf %s "$1"; }\n'
        f"SENTINEL_COUNT={len(answers)} MAJORITY={len(answers) // 2 + 1}\n"
        'for answers in "$@"; do\n'
        '  judge "$answers"\n'
        '  [ "$VERDICT" != agreed ] || VERDICT="agreed $NAMED $EPOCH${FAILOVER:+ failover}"\n'
        '  printf "%s\\n" "$VERDICT"\n'
        "done\n"
    )
    orders = {
        "\n".join(f"sentinel 10.1.0.{i} {answer}" for i, answer in enumerate(order))
        for order in itertools.permutations(answers)
    }
    done = subprocess.run(
        [*shell.command, "-c", script, "sh", *sorted(orders)],
        env={"PATH": shell.path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert set(done.stdout.splitlines()) == {verdict}
    assert len(done.stdout.splitlines()) == len(orders)
