"""Moves the wall clock of one running process, and of nothing else.

A process on Linux asks the time of the vDSO, a page of code that the kernel maps into it. This module writes a
few instructions over that code *in one process*: the page is private to it (copy on write), and so is its new
clock. Neither the image nor the process has to cooperate, a read-only root filesystem does not matter, and it
costs nothing while it is not used. Monotonic clocks, timers and the kernel's own time (file times, log times of
other processes) stay right: what moves is what gettimeofday(), time() and clock_gettime(CLOCK_REALTIME) say.

The process must not run while its code is rewritten: the caller freezes it first (`lab.faults.clock`).
Sources: vdso(7); the System V ABI for x86-64 (which registers a function may overwrite); `man 2 syscall`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError, Unsupported

MACHINE_X86_64 = 62
CLOCK_GETTIME, GETTIMEOFDAY, TIME = "__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time"
FUNCTIONS = (CLOCK_GETTIME, GETTIMEOFDAY, TIME)
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC, _HASH, _STRTAB, _SYMTAB = 2, 4, 5, 6
_RET = b"\xc3"


@dataclass(frozen=True)
class Symbol:
    """A function of the vDSO: its offset from the page's start and its length, in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Patch:
    """Bytes that are written at an offset from the vDSO's start."""

    offset: int
    code: bytes


def symbols(image: bytes) -> dict[str, Symbol]:
    """The functions in a vDSO image (a little ELF library), by name.

    Raises Unsupported where it is not for x86-64 or has no symbol table.
    """
    header = _ELF_HEADER.unpack_from(image)
    if header[0][:4] != b"\x7fELF" or header[2] != MACHINE_X86_64:
        raise Unsupported("the clock fault works on x86-64 machines only")
    dynamic = _dynamic_section(image, offset=header[5], count=header[10])
    if not {_HASH, _STRTAB, _SYMTAB} <= dynamic.keys():
        raise Unsupported("this kernel's vDSO has no symbol table, so the clock fault cannot work here")
    count = struct.unpack_from("<II", image, dynamic[_HASH])[1]
    found: dict[str, Symbol] = {}
    for index in range(count):
        name_at, _, _, section, value, size = _SYMBOL.unpack_from(
            image, dynamic[_SYMTAB] + index * _SYMBOL.size
        )
        start = dynamic[_STRTAB] + name_at
        name = image[start : image.index(b"\0", start)].decode()
        if section and size:
            found[name] = Symbol(name, offset=value, size=size)
    return found


def _dynamic_section(image: bytes, *, offset: int, count: int) -> dict[int, int]:
    for index in range(count):
        kind, _, at, _, _, size, _, _ = _PROGRAM_HEADER.unpack_from(
            image, offset + index * _PROGRAM_HEADER.size
        )
        if kind == _DYNAMIC:
            entries = struct.iter_unpack("<QQ", image[at : at + size])
            return dict(entries)
    return {}


def _clock_gettime(seconds: int) -> bytes:
    """int clock_gettime(clockid_t id, struct timespec *ts): the system call, then ts->tv_sec += seconds."""
    add = b"\x48\xb9" + struct.pack("<q", seconds) + b"\x48\x01\x0e"  # mov rcx, seconds; add [rsi], rcx
    realtime_only = (
        b"\x85\xff" + b"\x74\x05"  # test edi, edi; jz add       (CLOCK_REALTIME)
        b"\x83\xff\x05" + b"\x75" + bytes([len(add)])  # cmp edi, 5; jne out  (CLOCK_REALTIME_COARSE)
    )
    body = realtime_only + add
    return b"\xb8\xe4\x00\x00\x00\x0f\x05" + b"\x85\xc0\x75" + bytes([len(body)]) + body + _RET


def _gettimeofday(seconds: int) -> bytes:
    """int gettimeofday(struct timeval *tv, void *tz): the system call, then tv->tv_sec += seconds."""
    add = b"\x48\xb9" + struct.pack("<q", seconds) + b"\x48\x01\x0f"  # mov rcx, seconds; add [rdi], rcx
    body = b"\x48\x85\xff\x74" + bytes([len(add)]) + add  # test rdi, rdi; jz out
    return b"\xb8\x60\x00\x00\x00\x0f\x05" + b"\x85\xc0\x75" + bytes([len(body)]) + body + _RET


def _time(seconds: int) -> bytes:
    """time_t time(time_t *t): the system call with NULL, plus seconds, stored where t points."""
    return (
        (
            b"\x57\x31\xff"  # push rdi; xor edi, edi
            b"\xb8\xc9\x00\x00\x00\x0f\x05"  # mov eax, 201; syscall
            b"\x48\xb9"
            + struct.pack("<q", seconds)
            + b"\x48\x01\xc8\x5f"  # mov rcx, seconds; add rax, rcx; pop rdi
            b"\x48\x85\xff\x74\x03\x48\x89\x07"  # test rdi, rdi; jz out; mov [rdi], rax
        )
        + _RET
    )


def patches(image: bytes, *, seconds: int) -> tuple[Patch, ...]:
    """What is to be written so that wall clocks are `seconds` ahead (behind when negative); 0 restores `image`.

    `image` is the kernel's unchanged vDSO. Each function's entry jumps to a routine that is laid out inside the
    longest of them, clock_gettime, for time() alone is too short to hold its own.
    Raises Unsupported where a function is missing or there is no room.
    """
    known = symbols(image)
    absent = [name for name in FUNCTIONS if name not in known]
    if absent:
        raise Unsupported(
            f"this kernel's vDSO has no {', '.join(absent)}, so the clock fault cannot work here"
        )
    room = known[CLOCK_GETTIME]
    routines = {
        CLOCK_GETTIME: _clock_gettime(seconds),
        GETTIMEOFDAY: _gettimeofday(seconds),
        TIME: _time(seconds),
    }
    if sum(map(len, routines.values())) > room.size:
        raise Unsupported(
            "this kernel's vDSO has no room for another clock, so the clock fault cannot work here"
        )
    laid_out: list[Patch] = []
    at = room.offset
    for name, code in routines.items():
        laid_out.append(Patch(at, code))
        if name != CLOCK_GETTIME:  # its own routine starts at its entry
            entry = known[name].offset
            laid_out.append(Patch(entry, b"\xe9" + struct.pack("<i", at - (entry + 5))))  # jmp at
        at += len(code)
    if seconds == 0:
        return tuple(Patch(p.offset, image[p.offset : p.offset + len(p.code)]) for p in laid_out)
    return tuple(laid_out)


@dataclass(frozen=True)
class Mapping:
    """Where the vDSO lies in one process."""

    start: int
    end: int


def mapping(pid: int) -> Mapping:
    """The vDSO's place in process `pid`; raises LabError where it is gone or has none."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise LabError(f"process {pid} has ended, its clock cannot be moved") from error
    for line in lines:
        if line.endswith("[vdso]"):
            start, _, end = line.split()[0].partition("-")
            return Mapping(int(start, 16), int(end, 16))
    raise LabError(f"process {pid} has no vDSO, its clock cannot be moved")


def own_image() -> bytes:
    """The kernel's vDSO as every process gets it, read from this one (which nobody patches)."""
    place = mapping_of_self()
    with Path("/proc/self/mem").open("rb") as memory:
        memory.seek(place.start)
        return memory.read(place.end - place.start)


def mapping_of_self() -> Mapping:
    """The vDSO's place in this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[vdso]"):
            start, _, end = line.split()[0].partition("-")
            return Mapping(int(start, 16), int(end, 16))
    raise Unsupported("this kernel maps no vDSO, so the clock fault cannot work here")


def runs_inside(pid: int, place: Mapping) -> bool:
    """Whether a thread of a stopped process stands inside its vDSO, where nothing may be rewritten now."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "syscall").read_text().split()
        # "running" has no program counter: such a thread is not stopped yet.
        if len(fields) < 2 or place.start <= int(fields[-1], 16) < place.end:
            return True
    return False


def write(pid: int, place: Mapping, changes: tuple[Patch, ...]) -> None:
    """Write the patches into a stopped process."""
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        for change in changes:
            memory.seek(place.start + change.offset)
            memory.write(change.code)
