"""The clock of one running process jumps, and nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import LabError, Unsupported
from lab.faults import vdso
from lab.shell import wait_until

HOUR = 3600
# Answers each line with what its clocks say: time(), gettimeofday() through ctypes, clock_gettime() of four clocks.
PROGRAM = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
class Value(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("micros", ctypes.c_long)]
libc.time.restype = ctypes.c_long
for line in sys.stdin:
    stored, value = ctypes.c_long(), Value()
    returned = libc.time(ctypes.byref(stored))
    libc.gettimeofday(ctypes.byref(value), None)
    print(returned, stored.value, libc.time(None), value.seconds, time.clock_gettime(0), time.clock_gettime(5),
          time.clock_gettime(1), time.clock_gettime(7), flush=True)
"""


class Clockwork:
    """A process that tells its clocks when asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wall(self) -> list[float]:
        """Six readings of the wall clock."""
        return self._ask()[:6]

    def monotonic(self) -> list[float]:
        """Readings of CLOCK_MONOTONIC and CLOCK_BOOTTIME."""
        return self._ask()[6:]

    def _ask(self) -> list[float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("now\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def shift(self, seconds: int) -> None:
        """Stop the process, rewrite it, let it go on."""
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        wait_until("it has stopped", lambda: (_state(pid) == "T", _state(pid)), seconds=5, every_s=0.001)
        place = vdso.mapping(pid)
        assert not vdso.runs_inside(pid, place)  # it waits for a line
        vdso.write(pid, place, vdso.patches(vdso.own_image(), seconds=seconds))
        os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def clockwork() -> Iterator[Clockwork]:
    """The process, waiting for its first question."""
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Clockwork(process)
        made.wall()
        yield made
        process.kill()


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, 1, 40 * 365 * 24 * HOUR])
def test_all_ways_to_ask_for_the_time_jump_together(clockwork: Clockwork, seconds: int) -> None:
    clockwork.shift(seconds)
    now = time.time()
    assert all(abs(reading - now - seconds) < 5 for reading in clockwork.wall()), (now, clockwork.wall())


def test_monotonic_clocks_go_on_as_before(clockwork: Clockwork) -> None:
    clockwork.shift(HOUR)
    now = [time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME)]
    assert all(abs(a - b) < 5 for a, b in zip(clockwork.monotonic(), now, strict=True))


def test_our_own_clock_and_that_of_other_processes_stay_right(clockwork: Clockwork) -> None:
    before = time.time()
    clockwork.shift(HOUR)
    assert abs(time.time() - before) < 60
    other = subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True).stdout
    assert abs(int(other) - before) < 60


def test_zero_restores_the_kernels_code_byte_by_byte(clockwork: Clockwork) -> None:
    pid = clockwork.process.pid
    clockwork.shift(HOUR)
    clockwork.shift(-5)
    assert image_of(pid) != vdso.own_image()
    clockwork.shift(0)
    assert image_of(pid) == vdso.own_image()
    assert all(abs(reading - time.time()) < 5 for reading in clockwork.wall())


def image_of(pid: int) -> bytes:
    """The vDSO as a process has it now."""
    place = vdso.mapping(pid)
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        memory.seek(place.start)
        return memory.read(place.end - place.start)


def test_a_process_that_is_not_stopped_is_not_called_safe() -> None:
    program = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as spinning:
        try:
            # Its first line: before that it may be in the middle of exec, without a vDSO.
            assert spinning.stdout is not None
            assert spinning.stdout.readline() == b"\n"
            wait_until(
                "it runs",
                lambda: (vdso.runs_inside(spinning.pid, vdso.mapping(spinning.pid)), None),
                seconds=10,
            )
        finally:
            spinning.kill()


def test_a_process_that_has_ended_is_an_error_in_words() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    with pytest.raises(LabError, match=f"process {done.pid} has ended"):
        vdso.mapping(done.pid)


def test_another_machines_code_is_refused() -> None:
    image = bytearray(vdso.own_image())
    image[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    with pytest.raises(Unsupported, match="x86-64 machines only"):
        vdso.symbols(bytes(image))


def test_routines_stay_inside_the_function_whose_place_they_take() -> None:
    known = vdso.symbols(vdso.own_image())
    allowed = [(known[name].offset, known[name].offset + known[name].size) for name in vdso.FUNCTIONS]
    for patch in vdso.patches(vdso.own_image(), seconds=HOUR):
        assert any(low <= patch.offset and patch.offset + len(patch.code) <= high for low, high in allowed), (
            patch
        )
