#!/usr/bin/env python3
"""The tests are tested: each check, flush and error path in mutants.py is taken out, and some test has to fail.

All mutants are built at once, into a copy of the tree (build/mutants, kept for the next time), as
`if (milepost_mutant(NAME)) { mutant } else { original }`; the environment of a test says which of them lives. So one
build is enough, and each mutant costs but the tests that are to catch it: those of its area first, then all. A test
that dies, or hangs, has caught it too: one hangs that takes far longer than without a mutant. Status 1 if fewer than
95 % are caught.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAUGHT_MIN = 0.95
HANG_MIN_S = 60
HANG_FACTOR = 5
BASELINE_MAX_S = 600

HEADER = """#pragma once
#include <cstdlib>
#include <cstring>
inline bool milepost_mutant(const char* name) {
  static const char* const alive = std::getenv("MILEPOST_MUTANT");
  return alive != nullptr && std::strcmp(alive, name) == 0;
}
"""

# Where tests are, the quickest first, and which of them look at what.
EXECUTABLES = {
    "io": "tests/io/io_test",
    "ring": "tests/io/ring_test",
    "policy": "tests/policy/policy_test",
    "format": "tests/engine/format/engine_format_test",
    "manager": "tests/engine/engine_manager_test",
    "restore": "tests/engine/engine_restore_test",
    "federated": "tests/engine/federated/engine_federated_test",
    "engine": "tests/engine/engine_test",
    "crash": "tests/crash/crash_test",
    "memory": "tests/memory/memory_test",
}
AREAS = {
    "io/codec/": ["io Chunk*:Codec*:Hostile*:Kinds/*:Planes*:Targets/*", "engine Hostile*"],
    "io/write_guard": ["io WriteGuards*", "engine CopyOnWrite*:LostMemory*"],
    "io/": ["io PosixS*:Stores/*", "ring *"],
    "policy/": ["policy *"],
    "engine/format/": ["format *"],
    "engine/federated/": ["federated *"],
    "engine/collector": ["engine Collector*", "manager RemovalFailure*"],
    "engine/manager/": ["manager *", "restore Lease*"],
    "engine/restore/": ["restore *", "engine Hostile*"],
    "engine/save/copy_on_write": ["engine CopyOnWriteSnapshot*", "engine CopyOnWrite*:LostMemory*"],
    "engine/save/snapshot": [
        "engine CopyOnWriteSnapshot*",
        "engine CopyOnWrite*:LostMemory*:Freeze*",
        "memory *OnlyWaited*",
    ],
    "engine/save/stream_plan": ["engine StreamPlans*", "engine RoundTrip*:Freeze*:CopyOnWrite*"],
    "engine/save/": [
        "manager Overwrite*:Manager*:Metadata*:Failures*",
        "engine *Crash*:CopyOnWrite*:Freeze*:RoundTrip*:*Fault*",
    ],
    "engine/": ["manager Metadata*", "restore DamagedRootRecord*", "engine Manager*:Catalog*:Crash*"],
}
ALL = [f"{name} *" for name in EXECUTABLES]

Mutant = collections.namedtuple("Mutant", "name file original mutated")


def is_statement(code):
    return code.endswith(";")


def read(file, entry):
    """A mutant of an entry of mutants.py."""
    original, mutated = entry if isinstance(entry, tuple) else (entry, None)
    if mutated is None:
        mutated = "" if is_statement(original) else "if (false)" if original.startswith("if (") else "false"
    return Mutant(f"{file}: {' '.join(original.split())[:100]}", file, original, mutated)


def all_mutants():
    mutants = [read(file, entry) for file, entries in MUTANTS.items() for entry in entries]
    assert len({mutant.name for mutant in mutants}) == len(mutants), "two mutants of one name"
    return mutants


def misplaced(mutants):
    """What is wrong with them: a mutant has to be found in its file exactly once."""
    for mutant in mutants:
        file = ROOT / mutant.file
        count = file.read_text().count(mutant.original) if file.exists() else 0
        if count != 1:
            yield f"{mutant.name}: found {count} times"


def switched(mutant):
    """Code that is the mutant if that is alive."""
    alive = f'milepost_mutant("{escaped(mutant.name)}")'
    if is_statement(mutant.original):
        return f"if ({alive}) {{ {mutant.mutated} }} else {{ {mutant.original} }}"
    if mutant.original.startswith("if ("):
        condition, other = mutant.original[len("if ") :], mutant.mutated[len("if ") :]
        return f"if ({alive} ? {other} : {condition})"
    return f"({alive} ? ({mutant.mutated}) : ({mutant.original}))"


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def copy_tree(scratch, mutants):
    """Makes the copy what the tree is, with all mutants; leaves files alone that are so already."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    wanted = {name: (ROOT / name).read_bytes() for name in names}
    for mutant in mutants:
        code = wanted[mutant.file].decode()
        if "milepost_mutant.h" not in code:
            code = '#include "milepost/io/milepost_mutant.h"\n' + code
        wanted[mutant.file] = code.replace(mutant.original, switched(mutant)).encode()
    wanted["io/milepost_mutant.h"] = HEADER.encode()
    for file in scratch.rglob("*"):
        if file.is_file() and file.relative_to(scratch).parts[0] != "build":
            if file.relative_to(scratch).as_posix() not in wanted:
                file.unlink()
    for name, content in wanted.items():
        target = scratch / name
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if name in names:
            shutil.copymode(ROOT / name, target)


def build(scratch, jobs):
    environment = dict(os.environ, CCACHE_BASEDIR=str(scratch), CCACHE_NOHASHDIR="1")
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    targets = [pathlib.PurePath(path).name for path in EXECUTABLES.values()]
    for command in (
        ["cmake", "--preset", "release", "-DMILEPOST_BUILD_EXAMPLES=OFF", "-DMILEPOST_BUILD_BENCHMARKS=OFF", *launcher],
        ["cmake", "--build", "--preset", "release", "-j", str(jobs), "--target", *targets],
    ):
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=scratch, env=environment, check=False, **output)
        if done.returncode:
            sys.exit(f"{done.stdout[-5000:]}\nthe mutants do not build")


def outcome(scratch, tests, limit_s, name=""):
    """How tests end with a mutant, or without: "", or what caught it."""
    executable, tests_of = tests.split(" ", 1)
    environment = dict(os.environ, MILEPOST_MUTANT=name, GTEST_FAIL_FAST="1", GTEST_FILTER=tests_of)
    environment.pop("MILEPOST_PROVE", None)  # the tests in their short form are those that tools/test runs
    build_directory = scratch / "build" / "release"
    # In a session of its own, so that a hang is ended with the processes that the tests have started.
    with subprocess.Popen(
        [build_directory / EXECUTABLES[executable]],
        cwd=build_directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return f"{executable}: {test_begun(output)} hangs"
    if process.returncode == 0:
        return ""
    failed = [line for line in output.decode(errors="replace").splitlines() if line.startswith("[  FAILED  ]")]
    if failed:
        return f"{executable}: {failed[0].split()[3].rstrip(',')}"
    return f"{executable}: {test_begun(output)} dies, {process.returncode}"


def test_begun(output):
    begun = [line for line in output.decode(errors="replace").splitlines() if line.startswith("[ RUN      ]")]
    return begun[-1].split()[3] if begun else "?"


def area_of(file):
    return AREAS[max((area for area in AREAS if file.startswith(area)), key=len)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only whether each is in the code, exactly once")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="only mutants whose name holds a TEXT")
    parser.add_argument("--area", action="store_true", help="only the tests of its area, to look for survivors soon")
    parser.add_argument("--scratch", type=pathlib.Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    mutants = all_mutants()
    problems = list(misplaced(mutants))
    if problems:
        sys.exit("\n".join(problems) + "\nThe code has moved on: change tests/mutants/mutants.py with it.")
    if arguments.check:
        print(f"{len(mutants)} mutants have their places")
        return
    scratch = arguments.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    copy_tree(scratch, mutants)
    build(scratch, arguments.jobs)

    mutants = [mutant for mutant in mutants if any(text in mutant.name for text in arguments.only)]
    survivors = []

    def tests_for(mutant):
        return list(dict.fromkeys(area_of(mutant.file) + ([] if arguments.area else ALL)))

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        # Tests that fail without a mutant catch nothing.
        def limit_of(tests):
            began = time.monotonic()
            failure = outcome(scratch, tests, BASELINE_MAX_S)
            if failure:
                sys.exit(f"without any mutant, {tests} fails: {failure}")
            return max(HANG_MIN_S, HANG_FACTOR * (time.monotonic() - began))

        needed = sorted({tests for mutant in mutants for tests in tests_for(mutant)})
        limits = dict(zip(needed, pool.map(limit_of, needed)))

        def hunt(mutant):
            began = time.monotonic()
            for tests in tests_for(mutant):
                catcher = outcome(scratch, tests, limits[tests], mutant.name)
                if catcher:
                    break
            return mutant, catcher, time.monotonic() - began

        for done in concurrent.futures.as_completed([pool.submit(hunt, mutant) for mutant in mutants]):
            mutant, catcher, took_s = done.result()
            print(f"{'caught  ' if catcher else 'SURVIVED'} {took_s:5.1f} s  {mutant.name}  <- {catcher}", flush=True)
            if not catcher:
                survivors.append(mutant)

    caught = len(mutants) - len(survivors)
    print(f"trials: mutants: {len(mutants)}, {caught} caught ({caught / len(mutants):.1%})")
    for mutant in survivors:
        print(f"survived: {mutant.name}")
    sys.exit(0 if caught >= CAUGHT_MIN * len(mutants) else 1)


if __name__ == "__main__":
    main()
