#!/usr/bin/env python3
"""The federated example: killed twice and resumed it ends with the same bits as without, and so does its CSV file,
which Python's csv module reads.

Usage: federated_test.py MILEPOST_FEDERATED DIGITS
"""

import csv
import pathlib
import signal
import subprocess
import sys
import tempfile

program, digits = sys.argv[1:]
ROUNDS = 40


def run(directory, kill_after=None):
    """What the program printed; if it is to be killed, up to that round."""
    command = [program, directory, str(ROUNDS), digits]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1] == f"round {kill_after}":
            process.kill()
            break
    process.stdout.close()
    status = process.wait()
    assert status == (0 if kill_after is None else -signal.SIGKILL), f"status {status} after {lines[-1]}"
    return lines


with tempfile.TemporaryDirectory() as root:
    whole = run(f"{root}/whole")
    assert whole[0] == "starting" and whole[1:-1] == [f"round {r}" for r in range(1, ROUNDS + 1)], whole

    run(f"{root}/killed", kill_after=5)
    again = run(f"{root}/killed", kill_after=17)
    resumed_after = int(again[0].removeprefix("resuming after round "))
    assert 5 <= resumed_after < 17 and again[1] == f"round {resumed_after + 1}", again
    last = run(f"{root}/killed")
    assert last[-1] == whole[-1] and last[-1].startswith("model "), (last[-1], whole[-1])

    written = pathlib.Path(root, "whole", "metrics.csv").read_bytes()
    assert pathlib.Path(root, "killed", "metrics.csv").read_bytes() == written
    kept = sorted(int(p.name.removeprefix("program_state_")) for p in pathlib.Path(root, "killed").glob("program_state_*"))
    assert kept == [1, ROUNDS - 1, ROUNDS], kept

    with open(f"{root}/whole/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["round", "clients", "test/accuracy", "test/loss", "train/loss"], rows[0]
    assert [int(row["round"]) for row in rows] == list(range(1, ROUNDS + 1))
    for row in rows:
        clients = [int(client) for client in row["clients"].strip("[]").split(",")]
        assert len(set(clients)) == 5 and all(0 <= client < 20 for client in clients), row
        assert float(row["test/loss"]) > 0 and float(row["train/loss"]) > 0, row
    assert float(rows[-1]["test/accuracy"]) > 0.7 > float(rows[0]["test/accuracy"]), (rows[0], rows[-1])
