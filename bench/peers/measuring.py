"""What a trial of a peer measures with; figures.cc and bench/measure.h do the same for milepost."""

import contextlib
import mmap
import os
import pathlib
import resource
import time

ONE_BY_ONE_MAX = 100  # files; beyond it one flush of the whole file system is the quicker way


def processes():
    """This process and all that it has started, directly or not."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds():
    """User and system time so far, of all threads of all processes."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = 0
    for pid in processes()[1:]:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # and of children that are gone
    return own.ru_utime + own.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def _memory(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def resident_bytes():
    return _memory(os.getpid(), "VmRSS")


def reset_peak():
    for pid in processes():
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes():
    """The most that was resident since the reset; memory that another process shares with this one counts once."""
    total = _memory(os.getpid(), "VmHWM")
    for pid in processes()[1:]:
        with contextlib.suppress(OSError):
            total += max(0, _memory(pid, "VmHWM") - _memory(pid, "RssShmem"))
    return total


def seconds(function):
    """Freeing what it returns is not in it."""
    start = time.perf_counter()
    returned = function()
    taken = time.perf_counter() - start
    del returned
    return taken


def _paths(directory):
    return [pathlib.Path(directory), *pathlib.Path(directory).rglob("*")]


def _with_descriptor(path, call):
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return call(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(directory):
    """Waits until the file system is done with all that was written and removed before."""
    import ctypes

    _with_descriptor(directory, ctypes.CDLL(None, use_errno=True).syncfs)


def sync_all(directory):
    """Flushes all files and directories, each for itself, or, if they are many, their file system."""
    paths = _paths(directory)
    if len(paths) > ONE_BY_ONE_MAX:
        return sync_file_system(directory)
    for path in paths:
        _with_descriptor(path, os.fsync)


def make_cold(directory):
    """Drops all files from the page cache."""
    for path in _paths(directory):
        if path.is_file():

            def drop(descriptor):
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

            _with_descriptor(path, drop)


def make_warm(directory):
    """Reads all files through the page cache, all of each."""
    piece = bytearray(1 << 20)
    for path in _paths(directory):
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                while file.readinto(piece):
                    pass


def make_memory_ready(byte_count):
    """Touches as much, and gives it back, so that the next that is touched is at hand: a virtual machine's host takes back
    what is free, and a first touch is ten times slower when it has to find a page."""
    with mmap.mmap(-1, byte_count) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, byte_count, mmap.PAGESIZE):
            memory[at] = 1


def disk_bytes(directory):
    return sum(path.stat().st_blocks * 512 for path in _paths(directory)[1:])
