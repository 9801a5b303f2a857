"""Stops OneFlow's scheduler from spending a core on waiting."""

import ctypes
import mmap
import platform
import struct
from contextlib import suppress
from pathlib import Path

_PAUSE_MICROSECONDS = 300
# Of the ELF format (elf.h): segment types, tags of the dynamic section, a relocation of a call to a shared library
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_JMPREL = 2, 5, 6, 23
_R_X86_64_JUMP_SLOT = 7
# Of mmap(2), as arguments
_READ_WRITE, _READ_EXECUTE = 3, 5
_PRIVATE_ANONYMOUS = 0x22

_done = False


def sleep_while_waiting() -> bool:
    """Has OneFlow's scheduler sleep instead of spinning; after `import oneflow`, and once is enough.

    While a compiled step is under way, `VirtualMachine::ScheduleLoop` calls sched_yield without end. With a rank per
    core these threads take up to half of each core from those that compute. Here OneFlow's calls of sched_yield are led
    to usleep, by the entry that the linker made for them. Returns whether that was done; where anything is other than
    expected (another OneFlow, CPU or system) nothing is changed. Not for the eager step, whose operators are handed
    over one by one and would each wait for the scheduler to wake.
    """
    global _done
    if not _done and platform.machine() == "x86_64":
        with suppress(OSError, ValueError, LookupError, AttributeError, StopIteration, struct.error):
            library, start = _loaded_library("liboneflow-")
            slot = start + _jump_slot(library, b"sched_yield")
            libc = _libc()
            pause = _code_that_sleeps(libc)
            if libc.mprotect(slot & -mmap.PAGESIZE, mmap.PAGESIZE, _READ_WRITE) == 0:
                ctypes.c_uint64.from_address(slot).value = pause  # aligned: one store for the thread that reads it
                _done = True
    return _done


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_size_t]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _loaded_library(prefix: str) -> tuple[Path, int]:
    """The file of a library of this process, and the address where its first byte is."""
    lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    places = [line for line in lines if len(line) == 6 and Path(line[5]).name.startswith(prefix)]
    first = next(line for line in places if int(line[2], 16) == 0)
    return Path(first[5]), int(first[0].split("-")[0], 16)


def _jump_slot(library: Path, function: bytes) -> int:
    """Where, from the library's start, it keeps the address of a function of another library."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as elf:
        table, count = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<H", elf, 56)[0]
        segments = [struct.unpack_from("<IIQQQQQQ", elf, table + 56 * number) for number in range(count)]

        def place(address: int) -> int:
            loaded = (s for s in segments if s[0] == _PT_LOAD and s[3] <= address < s[3] + s[5])
            _, _, offset, start, *_ = next(loaded)
            return address - start + offset

        dynamic = next(s for s in segments if s[0] == _PT_DYNAMIC)
        tags = dict(struct.iter_unpack("<QQ", elf[dynamic[2] : dynamic[2] + dynamic[5]]))
        symbols, strings, calls = (place(tags[tag]) for tag in (_DT_SYMTAB, _DT_STRTAB, _DT_JMPREL))
        for slot, info, _ in struct.iter_unpack("<QQq", elf[calls : calls + tags[_DT_PLTRELSZ]]):
            name = strings + struct.unpack_from("<I", elf, symbols + 24 * (info >> 32))[0]
            if elf[name : name + len(function) + 1] == function + b"\0" and info & 0xFFFFFFFF == _R_X86_64_JUMP_SLOT:
                return slot
    raise LookupError(function)


def _code_that_sleeps(libc: ctypes.CDLL) -> int:
    """The address of a function without arguments that calls usleep. Never freed: a thread is in it at exit."""
    usleep = ctypes.cast(libc.usleep, ctypes.c_void_p).value
    code = b"\xbf" + struct.pack("<I", _PAUSE_MICROSECONDS)  # mov edi, 300
    code += b"\x48\xb8" + struct.pack("<Q", usleep) + b"\xff\xe0"  # mov rax, usleep; jmp rax
    page = libc.mmap(None, mmap.PAGESIZE, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
    if page == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memmove(page, code, len(code))
    if libc.mprotect(page, mmap.PAGESIZE, _READ_EXECUTE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return page
