#!/usr/bin/env python3
"""The tests are tested: each check, flush and error path in mutants.py is taken out, and some test has to fail.

All mutants are built at once, into a copy of the tree (build/mutants, kept for the next time), as
`if (milepost_mutant(NAME)) { mutant } else { original }`; the environment of a test says which of them lives. So one
build is enough, and each mutant costs but the tests that are to catch it: those of its area first, then all. A test
that dies, or hangs, has caught it too. Status 1 if fewer than 95 % are caught.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import time

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAUGHT_MIN = 0.95
TIMEOUT_S = 600

HEADER = """#pragma once
#include <cstdlib>
#include <cstring>
inline bool milepost_mutant(const char* name) {
  static const char* const alive = std::getenv("MILEPOST_MUTANT");
  return alive != nullptr && std::strcmp(alive, name) == 0;
}
"""

# Where tests are, and which of them look at what.
EXECUTABLES = {
    "io": "tests/io/io_test",
    "policy": "tests/policy/policy_test",
    "format": "tests/engine/format/engine_format_test",
    "engine": "tests/engine/engine_test",
    "manager": "tests/engine/engine_manager_test",
    "restore": "tests/engine/engine_restore_test",
    "memory": "tests/memory/memory_test",
    "federated": "tests/engine/federated/engine_federated_test",
    "crash": "tests/crash/crash_test",
}
AREAS = {
    "io/codec/": ["io Chunk*:Codec*:Hostile*:Kinds/*:Planes*:Targets/*"],
    "io/": ["io PosixStore*:Stores/*"],
    "policy/": ["policy *"],
    "engine/format/": ["format *"],
    "engine/federated/": ["federated *"],
    "engine/collector": ["engine Collector*"],
    "engine/manager/": ["manager *", "restore Lease*"],
    "engine/restore/": ["restore *"],
    "engine/save/": ["engine Crash*:Collector*:Freeze*:RoundTrip*", "manager Overwrite*", "engine *Fault*"],
    "engine/": ["engine Manager*:Catalog*:DamagedRootRecord*:Crash*"],
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


def outcome(scratch, tests, name=""):
    """How tests end with a mutant, or without: "", or what caught it."""
    executable, tests_of = tests.split(" ", 1)
    environment = dict(os.environ, MILEPOST_MUTANT=name, GTEST_FAIL_FAST="1", GTEST_FILTER=tests_of)
    build_directory = scratch / "build" / "release"
    try:
        done = subprocess.run(
            [build_directory / EXECUTABLES[executable]],
            cwd=build_directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{executable}: a hang"
    if done.returncode == 0:
        return ""
    lines = done.stdout.decode(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith("[  FAILED  ]")]
    if failed:
        return f"{executable}: {failed[0].split()[3].rstrip(',')}"
    started = [line for line in lines if line.startswith("[ RUN      ]")]
    return f"{executable}: {started[-1].split()[3] if started else '?'} dies, {done.returncode}"


def area_of(file):
    return AREAS[max((area for area in AREAS if file.startswith(area)), key=len)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only whether each is in the code, exactly once")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose name holds TEXT")
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

    mutants = [mutant for mutant in mutants if arguments.only in mutant.name]
    survivors = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        # Tests that fail without a mutant catch nothing.
        needed = sorted({tests for mutant in mutants for tests in area_of(mutant.file)} | set(ALL))
        for tests, failure in zip(needed, pool.map(lambda tests: outcome(scratch, tests), needed)):
            if failure:
                sys.exit(f"without any mutant, {tests} fails: {failure}")

        def hunt(mutant):
            began = time.monotonic()
            for tests in area_of(mutant.file) + ALL:
                catcher = outcome(scratch, tests, mutant.name)
                if catcher:
                    break
            return catcher, time.monotonic() - began

        for mutant, (catcher, took_s) in zip(mutants, pool.map(hunt, mutants)):
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
