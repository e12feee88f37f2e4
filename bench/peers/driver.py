#!/usr/bin/env python3
"""Measures milepost and its peers in turns; bench/peers/run calls it.

Each trial is a process of its own. The trials of a workload alternate in rounds: in each round every entry has one turn,
and the machine's limits have one; every round begins with another entry, so that what drifts hits all alike.
"""

import argparse
import collections
import datetime
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import entries
import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release/bench/peers"
PLACE = ROOT / "build/peers"
HERE = pathlib.Path(__file__).parent

LEAF = "params.blocks.3.mlp.up.w"
STEP_SECONDS = 0.1  # of the training loop
STEPS_BETWEEN = 10  # saves
SAVES = 3
UPDATE_BYTES = 64_000_000
SECONDS_MAX = {entries.SAVE: 240, entries.LEAVES: 90, entries.LOOP: 120, entries.STEPS: 300, entries.CODEC: 120}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=2000, help="of the state; of the loop's a quarter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--leaves", type=int, default=20_000, help="of the workload with small ones")
    parser.add_argument("--steps", type=int, default=1_000, help="of the workload with a directory of many")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="the entries with one of these in their names")
    parser.add_argument("--workloads", nargs="*", default=entries.WORKLOADS, choices=entries.WORKLOADS)
    parser.add_argument("--output", type=pathlib.Path, default=PLACE / "peers.json")
    parser.add_argument("--merge", action="store_true", help="keep what OUTPUT has of other workloads and entries")
    parser.add_argument("--plots", type=pathlib.Path, default=PLACE, help="where the plots go")
    parser.add_argument("--page", type=pathlib.Path, help="a Markdown page to renew the tables of, such as docs/peers.md")
    return parser.parse_args()


class Trials:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.state = self.made_state(options.size_mb)
        self.loop_state = self.made_state(options.size_mb // 4)
        self.products = self.calibrated()

    @staticmethod
    def made_state(size_mb):
        path = PLACE / "data" / f"{size_mb}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([BUILD / "milepost_peer", "state", path, str(size_mb * 1_000_000)], check=True)
        return path

    @staticmethod
    def calibrated():
        """How many products a step of the loop takes on this machine, so that it lasts about as long as it should."""
        import ctypes

        training = ctypes.CDLL(str(BUILD / "libmilepost_training_step.so"))
        training.training_step_new.restype = ctypes.c_void_p
        training.training_step_delete.argtypes = [ctypes.c_void_p]
        products, best = 1000, 0.0
        while best < STEP_SECONDS / 4:  # long enough that waking the threads is nothing beside it
            products *= 2
            step = ctypes.c_void_p(training.training_step_new(ctypes.c_uint64(products), ctypes.c_uint64(UPDATE_BYTES)))
            best = min(_seconds(lambda: training.training_step_compute(step)) for _ in range(5))
            training.training_step_delete(step)
        return int(products * STEP_SECONDS / best)

    def arguments(self, workload):
        return {
            entries.SAVE: [self.state, LEAF],
            entries.LEAVES: [self.loop_state, self.options.leaves],
            entries.LOOP: [self.loop_state, BUILD / "libmilepost_training_step.so", self.products, UPDATE_BYTES,
                           STEPS_BETWEEN, SAVES],
            entries.STEPS: ["-", self.options.steps],
            entries.CODEC: [self.loop_state],
        }[workload]

    def run(self, entry, workload, parts):
        state, *rest = self.arguments(workload)
        if workload in (entries.SAVE, entries.LEAVES):
            rest.append(",".join(parts) or "-")
        kept = workload == entries.STEPS  # the steps are made once
        directory = self.directory / (f"steps-{entry.name.replace(' ', '-')}" if kept else "trial")
        directory.mkdir(parents=True, exist_ok=True)
        if entry.ours:
            rest = [argument for argument in rest if "libmilepost" not in str(argument)]
            command = [BUILD / "milepost_peer", workload, state, directory, *entry.peer.split(), *rest]
        else:
            command = [PLACE / entry.venv / "bin/python", HERE / "trial.py", entry.peer, workload, state, directory, *rest]
        try:
            return self.executed([*map(str, command)], SECONDS_MAX[workload])
        finally:
            if not kept:
                shutil.rmtree(directory, ignore_errors=True)
            os.sync()

    def limits(self):
        directory = self.directory / "limits"
        try:
            return self.executed([str(BUILD / "milepost_peer"), "limits", str(self.state), str(directory)], 120)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            os.sync()

    @staticmethod
    def executed(command, seconds_max):
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds_max, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"took more than {seconds_max} s"}
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return {"error": lines[-1][:300] if lines else f"ended with {done.returncode}"}
        return json.loads(done.stdout)


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def versions():
    """Of each package, from whichever environment it is in; milepost's is that of the build."""
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    for venv in ("venv", "venv-tff"):
        for path in (PLACE / venv).glob("lib/python*/site-packages"):
            for distribution in importlib.metadata.distributions(path=[str(path)]):
                found.setdefault(distribution.metadata["Name"].lower().replace("_", "-"), distribution.version)
    packages = {entry.package for entry in entries.ENTRIES} | {"jax", "zipnn", "Python"}
    return {name: found[name] for name in sorted(packages, key=str.lower) if name in found}


def measure(trials, workload, options, limits):
    """{"entry": [figures of each round]}, a failure being {"error": why}; limits gets those of each round."""
    def is_wanted(name):
        return not options.only or any(word.lower() in name.lower() for word in options.only)

    turns = collections.deque(
        entry for entry in entries.ENTRIES if workload in entry.workloads and is_wanted(entry.name)
    )
    found = {entry.name: [] for entry in turns}
    for number in range(options.rounds):
        if workload == entries.SAVE:
            limits.append(trials.limits())
        for entry in turns:
            before = found[entry.name]
            if any("error" in figures for figures in before):
                continue  # once is enough
            parts = ["check"] * (number == 0) + ["restore"] * entry.restores
            started = time.monotonic()
            before.append(trials.run(entry, workload, parts))
            progress(workload, number, entry.name, time.monotonic() - started, before[-1])
        turns.rotate(-max(1, len(turns) // options.rounds))
    return found


def progress(workload, number, name, seconds, figures):
    remark = figures.get("error", "")
    print(f"{workload} round {number + 1}: {name}: {seconds:.0f} s {remark}", file=sys.stderr, flush=True)


def new_record(options, before=None):
    """A record without figures of its own yet: empty, or with those of a record before it that was measured alike."""
    record = {
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "machine": report.machine(),
        "minutes": 0,
        "state_mb": options.size_mb,
        "leaves": options.leaves,
        "steps": options.steps,
        "versions": versions(),
        "results": {"limits": {"limits": []}},
    }
    if before:
        for name in ("machine", "state_mb", "leaves", "steps"):
            if before[name] != record[name]:
                sys.exit(f"nothing to merge with: {options.output} has {name} {before[name]}, not {record[name]}")
        record |= {"since": before.get("since", before["date"]), "minutes": before["minutes"], "results": before["results"]}
    return record


def main():
    options = arguments()
    directory = PLACE / "work"
    shutil.rmtree(directory, ignore_errors=True)
    merging = options.merge and options.output.exists()
    record = new_record(options, json.loads(options.output.read_text(encoding="utf-8")) if merging else None)
    minutes_before = record["minutes"]
    began = time.monotonic()
    trials = Trials(options, directory)
    try:
        for workload in entries.WORKLOADS:
            if workload not in options.workloads:
                continue
            limits = []
            found = measure(trials, workload, options, limits)
            record["results"][workload] = record["results"].get(workload, {}) | found
            if limits:
                record["results"]["limits"] = {"limits": limits}
            record["minutes"] = round(minutes_before + (time.monotonic() - began) / 60, 1)
            options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    report_arguments = [options.output, "--plots", options.plots] + (["--markdown", options.page] if options.page else [])
    subprocess.run([sys.executable, HERE / "report.py", *report_arguments], check=True)


if __name__ == "__main__":
    main()
