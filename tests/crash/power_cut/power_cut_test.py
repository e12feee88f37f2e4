#!/usr/bin/env python3
"""Power cuts on a real file system: no torn step is ever listed, and what was acknowledged is there, bit for bit.

Usage: power_cut_test.py POWER_CUT_CHILD ext4|xfs

A process lives (tests/crash/life.h) on a disk that keeps a record of its writes and flushes (recorder.py, behind
nbdkit, nbdfuse and a loop device). Then for each point of the record and a seed: what the disk could hold if the power
failed there is all writes before the last flush, and of those after it any, each in any of its sectors. That is
mounted, which replays the journal, and checked by the library, which also has to go on. What was told before that
point has to be so. Before that, a process that leaves out the flushes of files, and one that leaves out those of
directories, have to be noticed.

Skipped (status 77), with the reason, where this cannot run. MILEPOST_PROVE=1 for all states, MILEPOST_SEED for others.
Everything happens in a mount and a process namespace of its own, with memory for a disk: the kernel takes all mounts,
loop devices and processes down with this process, however that ends.
"""

import bisect
import contextlib
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

PROVE = "MILEPOST_PROVE" in os.environ
STATES = 2000 if PROVE else 20
SEED = os.environ.get("MILEPOST_SEED", "1")
# The smallest that each file system can be.
MAKE = {
    "ext4": (32 << 20, ["mkfs.ext4", "-q", "-b", "4096", "-J", "size=4"]),
    "xfs": (64 << 20, ["mkfs.xfs", "-q", "--unsupported"]),
}
# What a disk writes as a whole. In smaller ones a power cut can tear the superblock of ext4, whose checksum is looked at
# before the journal is: it does not mount then, whatever wrote to it.
SECTOR = {"ext4": 4096, "xfs": 512}
ENTRY = struct.Struct("<8sqQ")  # as recorder.py has it
SURVIVAL = (0, 0.1, 0.5, 0.5, 0.9, 1)  # how likely a write is to; the extremes are worth more than their share
SKIPPED = 77


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def mounted(image, at):
    """A file as a file system; its loop device goes when it is unmounted."""
    try:
        run("mount", "-o", "loop", image, at)
    except RuntimeError as failure:
        kernel = subprocess.run(["dmesg"], stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()
        raise RuntimeError("\n".join([str(failure), "the last words of the kernel:", *kernel[-5:]])) from failure
    try:
        yield at
    finally:
        run("umount", at)


@contextlib.contextmanager
def recorded(image, record, at):
    """A disk whose content is `image`, as the file that this gives, while it is recorded."""
    recorder = pathlib.Path(__file__).with_name("recorder.py")
    ready = record.with_suffix(".pid")
    nbdkit = ["nbdkit", "-s", "--exit-with-parent", "python", recorder, f"image={image}", f"record={record}"]
    with subprocess.Popen(["nbdfuse", "-P", ready, at / "disk", "--command", *nbdkit]) as nbdfuse:
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                if nbdfuse.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("nbdfuse does not come up")
                time.sleep(0.01)
            yield at / "disk"
        finally:
            if nbdfuse.poll() is None and ready.exists():
                run("umount", at)
            else:
                nbdfuse.kill()
            ready.unlink(missing_ok=True)


def copy_sparse(source, target):
    """Of the same size, and with holes where `source` has them."""
    with open(source, "rb") as old, open(target, "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        at = 0
        while True:
            try:
                at = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:  # no more
                return
            end = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            new.seek(at)
            while at < end:
                at += os.copy_file_range(old.fileno(), new.fileno(), end - at, at)


class Record:
    """What happened to a disk, in order."""

    def __init__(self, path):
        data = path.read_bytes()
        self.entries = []  # kind, offset or number, data
        at = 0
        while at < len(data):
            kind, number, length = ENTRY.unpack_from(data, at)
            at += ENTRY.size
            self.entries.append((kind[:1], number, data[at : at + length]))
            at += length
        self._flushes = [i for i, entry in enumerate(self.entries) if entry[0] == b"F"]

    def __len__(self):
        return len(self.entries)

    def last_flush(self, cut):
        """How many of the first `cut` entries are before the last flush among them."""
        flushes = bisect.bisect_left(self._flushes, cut)
        return self._flushes[flushes - 1] if flushes else 0

    def writes(self, begin, end):
        return [(offset, data) for kind, offset, data in self.entries[begin:end] if kind == b"W"]

    def told(self, cut):
        return [number for kind, number, _ in self.entries[:cut] if kind == b"T"]


def surviving(writes, sector, dice):
    """Of the writes that no flush came after, those that the disk kept, whole or in part."""
    likely = dice.choice(SURVIVAL)
    for offset, data in writes:
        if dice.random() >= likely:
            continue
        if dice.random() < 0.5:
            yield offset, data
            continue
        for at in range(0, len(data), sector):
            if dice.random() < 0.5:
                yield offset + at, data[at : at + sector]


def write_all(path, writes):
    with open(path, "r+b", buffering=0) as image:
        for offset, data in writes:
            os.pwrite(image.fileno(), data, offset)


class Harness:
    """Its mounts are beside each other: below the memory that holds its image, one would keep the other for ever if
    both went with their namespace."""

    def __init__(self, child, file_system, scratch):
        self.child = child
        self.file_system = file_system
        self.memory, self.mount_point, self.device = (scratch / name for name in ("memory", "mnt", "device"))
        for directory in (self.memory, self.mount_point, self.device):
            directory.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1g", "power_cut", self.memory)
        self.checkpoints = self.mount_point / "made" / "by" / "the" / "manager"

    def make_disk(self):
        disk = self.memory / "disk"
        bytes_, make = MAKE[self.file_system]
        disk.unlink(missing_ok=True)
        disk.touch()
        os.truncate(disk, bytes_)
        run(*make, disk)
        return disk

    def check_that_it_can_run(self):
        disk = self.make_disk()
        try:
            with mounted(disk, self.mount_point):
                pass
        except RuntimeError as why:
            skip(f"{self.file_system} cannot be mounted here: {why}")

    def record(self, life, bug):
        """The disk before, and what a life did to it."""
        disk = self.make_disk()
        image, record = self.memory / "image", self.memory / "record"
        with mounted(disk, self.mount_point):
            run(self.child, "prepare", life, self.checkpoints)
        copy_sparse(disk, image)
        record.write_bytes(b"")
        with recorded(image, record, self.device) as device, mounted(device, self.mount_point):
            run(self.child, "live", life, self.checkpoints, record, *([bug] if bug else []))
        return disk, Record(record)

    def stories(self, life, states, bug=None):
        """What is wrong with each of so many states after a life; nothing if it is good."""
        disk, record = self.record(life, bug)
        points = range(1, len(record) + 1)
        dice = random.Random(f"{SEED} {self.file_system} {life} {bug}")
        # Every point as often as it goes, and some once more.
        cuts = sorted(list(points) * (states // len(points)) + dice.sample(points, states % len(points)))
        done = 0  # entries that are on the disk
        for cut in cuts:
            flushed = record.last_flush(cut)
            write_all(disk, record.writes(done, flushed))
            done = flushed
            state = self.memory / "state"
            copy_sparse(disk, state)
            write_all(state, surviving(record.writes(flushed, cut), SECTOR[self.file_system], dice))
            try:
                with mounted(state, self.mount_point):
                    run(self.child, "check", life, self.checkpoints, *map(str, record.told(cut)))
                yield ""
            except RuntimeError as story:
                story = f"{self.file_system}, {life}, after {cut} of {len(record)} entries: {story}"
                if not bug:
                    print(story, flush=True)
                yield story

    def test(self):
        for bug in ("forget-files", "forget-directories"):
            if PROVE:
                stories = list(self.stories("Overwrites", 400, bug))
                noticed = sum(map(bool, stories))
                print(f"{self.file_system}, {bug}: {noticed} of {len(stories)} states show it", flush=True)
            else:
                noticed = any(self.stories("Overwrites", 100, bug))
            if not noticed:
                sys.exit(f"{bug}: the planted bug went unnoticed")
        lives = run(self.child, "lives").split()
        stories = [story for life in lives for story in self.stories(life, STATES // len(lives))]
        print(f"trials: power cuts on {self.file_system}: {len(stories)}")
        failures = sum(map(bool, stories))
        if failures:
            sys.exit(f"{failures} of {len(stories)} states (seed {SEED}) are not good")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def main(child, file_system):
    if os.geteuid() != 0:
        skip("only root can mount")
    tools = ["nbdkit", "nbdfuse", "setpriv", "unshare", "mount", MAKE[file_system][1][0]]
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing or subprocess.run(["nbdkit", "--dump-plugin", "python"], capture_output=True, check=False).returncode:
        skip(f"not installed: {', '.join(missing) or 'the Python plugin of nbdkit'}")
    devices = [device for device in ("/dev/fuse", "/dev/loop-control") if not os.path.exists(device)]
    if devices:
        skip(f"there is no {', '.join(devices)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory() as scratch:
        namespaces = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--mount-proc", "--kill-child"]
        if subprocess.run([*namespaces, "true"], check=False).returncode:
            skip("namespaces are forbidden")
        again = [sys.executable, __file__, child, file_system, scratch]
        sys.exit(subprocess.run([*namespaces, *again], check=False).returncode)


def main_inside(child, file_system, scratch):
    harness = Harness(child, file_system, pathlib.Path(scratch))
    harness.check_that_it_can_run()
    harness.test()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main_inside(*arguments) if len(arguments) == 3 else main(*arguments)
