"""One trial of a peer, in a process of its own; prints one line of JSON. See milepost_peer.cc for milepost's.

Usage: trial.py PEER save STATE DIRECTORY LEAF PARTS       parts: "check,restore", or one of them
       trial.py PEER leaves STATE DIRECTORY COUNT PARTS
       trial.py PEER codec STATE DIRECTORY
       trial.py PEER loop STATE DIRECTORY LIBRARY PRODUCTS UPDATE_BYTES STEPS_BETWEEN SAVES
       trial.py PEER steps - DIRECTORY COUNT
PEER is MODULE:CLASS, in adapters.
"""

import contextlib
import ctypes
import importlib
import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np

import measuring
import state as states
from adapters import Unsupported


def restore_all(peer, directory, leaf, figures):
    """All of it, into fresh and into existing memory, and one leaf; what the peer has of that. The page cache is at first as
    the save left it, then cold or warm."""

    def fresh():
        restored = peer.restore(1)
        states.touch(restored.values())
        return restored

    def existing():
        peer.restore_existing(1)

    def existing_if_it_can():
        try:
            return existing()
        except Unsupported:
            return fresh()

    def one_leaf():
        return peer.restore_leaf(1, leaf)

    for name, prepare, call in [
        ("restore_just_saved_s", None, existing_if_it_can),
        ("restore_cold_fresh_s", measuring.make_cold, fresh),
        ("restore_warm_fresh_s", measuring.make_warm, fresh),
        ("restore_cold_existing_s", measuring.make_cold, existing),
        ("restore_warm_existing_s", measuring.make_warm, existing),
        ("leaf_s", measuring.make_cold, one_leaf),
    ]:
        if prepare:
            prepare(directory)
        measuring.make_memory_ready(int(figures["state_bytes"]))
        with contextlib.suppress(Unsupported):
            figures[name] = measuring.seconds(call)


def check_existing(peer, leaf):
    before = peer.current(leaf).copy()
    peer.invert()
    peer.restore_existing(1)
    if not np.array_equal(states.bytes_of(before), states.bytes_of(peer.current(leaf))):
        raise RuntimeError("the existing memory was not restored")


def save_workload(make, state, directory, leaf, parts):
    figures = {"state_bytes": states.byte_count(state)}
    peer = make(state, directory)
    memory_before = measuring.resident_bytes()

    # What is saved is what the state was at the call.
    figures["first_call_s"] = measuring.seconds(lambda: peer.save(0))
    peer.fence()
    peer.invert()
    peer.finish()
    peer.invert()
    if "check" in parts:
        figures["correct"] = states.same_bytes(state, peer.restore(0))
    if "restore" in parts:
        # So that what its reading needs exists.
        with contextlib.suppress(Unsupported):
            peer.restore_leaf(0, leaf)
    peer.remove(0)
    measuring.sync_file_system(directory)

    measuring.reset_peak()
    cpu_before = measuring.cpu_seconds()
    start = time.perf_counter()
    peer.save(1)
    figures["call_s"] = time.perf_counter() - start
    peer.fence()
    figures["fence_s"] = time.perf_counter() - start - figures["call_s"]
    peer.finish()
    figures["finished_s"] = time.perf_counter() - start
    measuring.sync_all(directory)
    figures["durable_s"] = time.perf_counter() - start
    figures["cpu_s"] = measuring.cpu_seconds() - cpu_before
    figures["extra_bytes"] = measuring.peak_bytes() - memory_before
    figures["disk_bytes"] = measuring.disk_bytes(directory)

    if "restore" in parts:
        restore_all(peer, directory, leaf, figures)
    if "check" in parts and "restore_warm_existing_s" in figures:
        check_existing(peer, leaf)
    peer.close()
    return figures


def loop_workload(make, state, directory, library, products, update_bytes, steps_between, saves):
    training = ctypes.CDLL(library)
    training.training_step_new.restype = ctypes.c_void_p
    step = ctypes.c_void_p(training.training_step_new(ctypes.c_uint64(products), ctypes.c_uint64(update_bytes)))
    peer = make(state, directory)

    def train():
        training.training_step_compute(step)
        peer.fence()
        training.training_step_update(step)

    def train_without():
        return measuring.seconds(lambda: [train() for _ in range(steps_between)])

    train()
    peer.save(0)
    peer.finish()
    measuring.sync_file_system(directory)

    before = train_without()
    calls = []
    start = time.perf_counter()
    for i in range(saves * steps_between):
        if i % steps_between == 0:
            calls.append(measuring.seconds(lambda: peer.save(i + 1)))
        train()
    peer.finish()
    with_saves = time.perf_counter() - start
    measuring.sync_file_system(directory)
    plain = (before + train_without()) / 2
    peer.close()
    return {
        "call_s": statistics.median(calls),
        "step_s": plain / steps_between,
        "lost_s": with_saves - saves * plain,
        "lost": with_saves / (saves * plain) - 1,
    }


def codec_workload(make, state):
    codec = make()
    figures = {"encode_s": 0.0, "decode_s": 0.0, "stored_bytes": 0, "state_bytes": states.byte_count(state), "correct": 1}
    for array in state.values():
        encode = codec.encode(array)
        start = time.perf_counter()
        encoded = encode()
        figures["encode_s"] += time.perf_counter() - start
        decode = codec.decode(array, encoded)
        start = time.perf_counter()
        decoded = decode()
        figures["decode_s"] += time.perf_counter() - start
        figures["stored_bytes"] += len(encoded)
        figures["correct"] *= np.array_equal(np.frombuffer(decoded, np.uint8), states.bytes_of(array))
    return figures


def steps_workload(make, directory, count):
    peer = make({"values": np.ones(256, np.float32)}, directory)
    if not any(pathlib.Path(directory).iterdir()):
        for step in range(1, count + 1):
            peer.save_managed(step)
    listed = []
    seconds = measuring.seconds(lambda: listed.extend(peer.open_and_list()))
    peer.close()
    if len(listed) != count:
        raise RuntimeError(f"{len(listed)} steps listed of {count}")
    return {"open_s": seconds}


def main():
    peer, workload, state_file, directory, *rest = sys.argv[1:]
    module, _, name = peer.partition(":")
    # Whatever a package prints must not come between the line of JSON.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.makedirs(directory, exist_ok=True)
    state = states.read_state(state_file) if workload != "steps" else {}
    make = getattr(importlib.import_module(f"adapters.{module}"), name)
    if workload == "save":
        figures = save_workload(make, state, directory, *rest)
    elif workload == "leaves":
        figures = save_workload(make, states.small_leaves(state, int(rest[0])), directory, "block3.w42", rest[1])
    elif workload == "codec":
        figures = codec_workload(make, state)
    elif workload == "loop":
        figures = loop_workload(make, state, directory, rest[0], *map(int, rest[1:]))
    else:
        figures = steps_workload(make, directory, int(rest[0]))
    print(json.dumps({name: float(value) for name, value in figures.items()}), file=output, flush=True)
    os._exit(0)  # some packages wait for ever for threads of theirs


if __name__ == "__main__":
    main()
