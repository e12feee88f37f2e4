#!/usr/bin/env python3
"""The comparison with peers compares rightly: goals, tables, turns and entries of bench/peers, on figures that are made up.
Needs none of the peers."""

import argparse
import ast
import contextlib
import io
import math
import pathlib
import re
import sys
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench/peers"
sys.path.insert(0, str(PEERS))

import driver  # noqa: E402
import entries  # noqa: E402
import goals  # noqa: E402
import measuring  # noqa: E402
import report  # noqa: E402
from entries import CODEC, COW, FAST, LAZY, LEAVES, LOOP, MILEPOST, SAVE, STEPS  # noqa: E402

GB = 10**9


def saved(**figures):
    return {"state_bytes": 2 * GB, **figures}


def record_of(results, **fields):
    limits = {"limits": {"limits": [saved(memcpy_s=0.1, write_s=1.0, read_cold_s=1.0, read_warm_s=0.1)]}}
    return {"date": "2026-11-22T14:04", "machine": "a machine", "minutes": 12.3, "state_mb": 2000, "leaves": 20_000,
            "steps": 1_000, "versions": {"numpy": "2.4.6"}, "results": limits | results} | fields


def verdict_of(results, workload, figure, whom="every peer"):
    found = [one for one in goals.judged(results) if one["workload"] == workload and one["figure"] == figure.title
             and one["whom"].startswith(whom)]
    assert len(found) <= 1, found
    return found[0] if found else None


class Figures(unittest.TestCase):
    def test_the_median_is_of_the_rounds_that_have_the_figure(self):
        trials = [saved(call_s=0.003), {"error": "died"}, saved(call_s=0.001), saved(), saved(call_s=0.002)]
        self.assertAlmostEqual(2.0, goals.median(trials, goals.CALL))
        self.assertIsNone(goals.median([saved()], goals.CALL))
        self.assertIsNone(goals.median([], goals.CALL))

    def test_units(self):
        figures = saved(cpu_s=1.0, disk_bytes=GB, restore_just_saved_s=0.25, restore_warm_existing_s=4.0, lost=0.125)
        for figure, value in [(goals.CPU, 0.5), (goals.DISK, 0.5), (goals.JUST_SAVED, 8.0), (goals.WARM_EXISTING, 0.5),
                              (goals.LOST, 12.5)]:
            self.assertAlmostEqual(value, figure.of(figures), msg=figure.title)

    def test_times_is_above_one_where_ours_is_better(self):
        self.assertAlmostEqual(4.0, goals.times(0.5, 2.0, goals.DURABLE))
        self.assertAlmostEqual(0.25, goals.times(0.5, 2.0, goals.COLD_FRESH))
        self.assertAlmostEqual(4.0, goals.times(2.0, 0.5, goals.COLD_FRESH))

    def test_what_is_less_than_noise_counts_as_noise(self):
        self.assertAlmostEqual(20.0, goals.times(-3.0, 10.0, goals.LOST))
        self.assertAlmostEqual(1.0, goals.times(0.1, -2.0, goals.LOST))

    def test_three_digits_that_matter(self):
        for value, text in [(1234.5, "1,234"), (99.96, "100.0"), (12.34, "12.3"), (1.234, "1.23"), (0.0954, "0.10"),
                            (0.0123, "0.012"), (-3.21, "-3.21")]:
            self.assertEqual(text, goals.number(value))
        self.assertEqual("0.8090", goals.number(0.80897, more=2))


class Judging(unittest.TestCase):
    def test_against_the_best_peer_by_the_median(self):
        results = {SAVE: {
            FAST: [saved(durable_s=seconds) for seconds in (0.5, 9.0, 0.4)],
            "numpy.save": [saved(durable_s=1.4)],
            "safetensors": [saved(durable_s=2.0)],
        }}
        verdict = verdict_of(results, SAVE, goals.DURABLE)
        self.assertEqual(("numpy.save", FAST, False), (verdict["best"], verdict["entry"], verdict["met"]))
        self.assertAlmostEqual(2.8, verdict["times"])
        results[SAVE]["numpy.save"] = [saved(durable_s=1.5)]
        self.assertTrue(verdict_of(results, SAVE, goals.DURABLE)["met"])

    def test_the_best_has_the_highest_rate(self):
        results = {SAVE: {
            FAST: [saved(restore_just_saved_s=1.0)],
            "numpy.save": [saved(restore_just_saved_s=0.5)],
            "torch.save": [saved(restore_just_saved_s=0.25)],
        }}
        verdict = verdict_of(results, SAVE, goals.JUST_SAVED)
        self.assertEqual("torch.save", verdict["best"])
        self.assertAlmostEqual(0.25, verdict["times"])
        self.assertFalse(verdict["met"])

    def test_who_does_not_compete(self):
        call = goals.CALL
        results = {SAVE: {
            MILEPOST: [saved(call_s=0.1)],
            LAZY: [saved(call_s=0.0001)],
            "DCP async_save, staged": [saved(call_s=0.01)],  # its caller waits for a second call
            "numpy.save": [saved(call_s=0.02, correct=0)],  # torn
            "torch.save": [{"error": "took too long"}],
            "safetensors": [saved(call_s=0.4)],
        }}
        verdict = verdict_of(results, SAVE, call)
        self.assertEqual(("safetensors", MILEPOST), (verdict["best"], verdict["entry"]))
        self.assertAlmostEqual(4.0, verdict["times"])
        results[SAVE][MILEPOST][0]["correct"] = 0
        self.assertIsNone(verdict_of(results, SAVE, call))

    def test_only_whom_the_goal_names(self):
        results = {SAVE: {MILEPOST: [saved(call_s=0.1)], "safetensors": [saved(call_s=0.2)], "Orbax": [saved(call_s=1.5)]}}
        self.assertEqual("Orbax", verdict_of(results, SAVE, goals.CALL, "Orbax")["best"])
        self.assertIsNone(verdict_of(results, SAVE, goals.CALL, "torch"))

    def test_the_best_of_our_own_entries_competes_if_it_is_measured_and_right(self):
        results = {SAVE: {MILEPOST: [saved(call_s=0.1)], "safetensors": [saved(call_s=0.4)]}}
        self.assertEqual(MILEPOST, verdict_of(results, SAVE, goals.CALL)["entry"])
        results[SAVE][COW] = [{"error": "not on this kernel"}]
        self.assertEqual(MILEPOST, verdict_of(results, SAVE, goals.CALL)["entry"])
        results[SAVE][COW] = [saved(call_s=0.001, correct=0)]
        self.assertEqual(MILEPOST, verdict_of(results, SAVE, goals.CALL)["entry"])
        results[SAVE][COW] = [saved(call_s=0.001)]
        self.assertEqual(COW, verdict_of(results, SAVE, goals.CALL)["entry"])

    def test_each_figure_has_the_codec_that_is_best_in_it(self):
        results = {SAVE: {MILEPOST: [saved(cpu_s=0.3, disk_bytes=2 * GB)], FAST: [saved(cpu_s=0.9, disk_bytes=1.6 * GB)],
                          "Orbax": [saved(cpu_s=3, disk_bytes=1.8 * GB)]}}
        self.assertEqual(MILEPOST, verdict_of(results, SAVE, goals.CPU)["entry"])
        self.assertEqual(FAST, verdict_of(results, SAVE, goals.DISK)["entry"])

    def test_a_second_call_is_not_for_the_shortest_one(self):
        results = {SAVE: {LAZY: [saved(call_s=0.001)], MILEPOST: [saved(call_s=0.1)], "numpy.save": [saved(call_s=0.3)]},
                   LOOP: {LAZY: [{"lost": 0.05}], MILEPOST: [{"lost": 0.1}], "safetensors": [{"lost": 0.3}]}}
        self.assertEqual(MILEPOST, verdict_of(results, SAVE, goals.CALL)["entry"])
        self.assertEqual(LAZY, verdict_of(results, LOOP, goals.LOST)["entry"])

    def test_nothing_is_judged_of_nothing(self):
        self.assertEqual([], goals.judged({}))
        self.assertEqual([], goals.judged({SAVE: {FAST: [saved(durable_s=1.0)]}}))
        self.assertEqual([], goals.judged({SAVE: {"numpy.save": [saved(durable_s=1.0)]}}))


class Reporting(unittest.TestCase):
    def setUp(self):
        self.record = record_of({
            SAVE: {
                MILEPOST: [saved(call_s=0.1, disk_bytes=2 * GB, restore_cold_fresh_s=1.0)],
                FAST: [saved(call_s=0.2, disk_bytes=GB)],
                "Orbax": [saved(call_s=call, disk_bytes=1.5 * GB) for call in (0.3, 0.5, 0.4)],
                "numpy.save": [saved(call_s=0.1, disk_bytes=2 * GB, restore_cold_fresh_s=4.0, correct=0)],
                "torch.save": [{"error": "no space"}],
            },
            CODEC: {
                FAST: [{"state_bytes": 491_545_824, "stored_bytes": 397_643_968}],
                "ZipNN": [{"state_bytes": 491_545_824, "stored_bytes": 397_170_449}],
            },
        })

    def tables(self):
        return {title: (heads, {name: (cells, remark) for name, cells, remark in rows})
                for title, _, heads, rows in report.tables_of(self.record)}

    def test_cells_have_median_spread_and_ratio(self):
        heads, rows = self.tables()["Saving 2 GB"]
        self.assertEqual(["", "call, ms", "on disk, of state"], heads)
        self.assertEqual("100", rows[MILEPOST][0][0])
        self.assertEqual("400 (300–500) 4.00x", rows["Orbax"][0][0])
        self.assertEqual("100 (100–100)", rows["machine's limit"][0][0])

    def test_who_compresses_is_compared_in_size_with_who_does(self):
        _, rows = self.tables()["Saving 2 GB"]
        self.assertEqual("0.75 1.50x", rows["Orbax"][0][1])
        self.assertEqual("1.00 1.00x", rows["numpy.save"][0][1])

    def test_remarks(self):
        _, rows = self.tables()["Saving 2 GB"]
        self.assertEqual("failed: no space", rows["torch.save"][1])
        self.assertIn("TORN", rows["numpy.save"][1])
        self.assertEqual("", rows["Orbax"][1])

    def test_a_column_that_nobody_has_is_left_out(self):
        heads, rows = self.tables()["Restoring 2 GB"]
        self.assertEqual(["", "cold, fresh, GB/s"], heads)
        self.assertEqual("0.50 4.00x", rows["numpy.save"][0][0])
        self.assertEqual({len(heads) - 1}, {len(cells) for cells, remark in rows.values() if not remark.startswith("failed")})

    def test_a_narrow_win_or_defeat_shows_its_digits(self):
        verdict = verdict_of(self.record["results"], CODEC, goals.STORED)
        self.assertFalse(verdict["met"])
        self.assertEqual(["0.8090", "0.8080", "0.9988"], report.numbers_of(verdict))
        self.assertEqual(["2.00", "1.00", "2.00"], report.numbers_of({"ours": 2, "theirs": 1, "times": 2, "at_least": 3}))
        self.assertEqual("2.9960", report.numbers_of({"ours": 2.996, "theirs": 1, "times": 2.996, "at_least": 3})[2])

    def test_markdown(self):
        text = report.markdown_of(self.record, goals.judged(self.record["results"]))
        self.assertIn("Measured 2026-11-22 on a machine, 1 to 3 rounds, 12 minutes.", text)
        self.assertIn("| **milepost, fast** | 200 | 0.50 |", text)
        self.assertIn("| codec, stored: 1x of every peer | 0.8090 of state, milepost, fast | 0.8080 of state, ZipNN | 0.9988 "
                      "| **MISSED** |", text)
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            self.assertEqual(1, len({line.count("|") for line in block.splitlines()}), block)

    def test_the_terminal_gets_all_tables(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            report.print_all(self.record, goals.judged(self.record["results"]))
        for title in self.tables():
            self.assertIn(title, printed.getvalue())
        self.assertIn("MISSED: codec: stored", printed.getvalue())

    def test_what_was_merged_says_since_when(self):
        self.assertEqual("2026-11-20 to 2026-11-22", report.days_of(self.record | {"since": "2026-11-20T23:59"}))


class FakeTrials:
    """Notes who had a turn; some fail, from some round on."""

    def __init__(self, failing=()):
        self.turns, self.failing = [], dict(failing)

    def run(self, entry, workload, parts):
        self.turns.append((entry.name, tuple(parts)))
        rounds = sum(name == entry.name for name, _ in self.turns)
        return {"error": "died"} if rounds >= self.failing.get(entry.name, math.inf) else {"round": rounds}

    def limits(self):
        self.turns.append(("limits", ()))
        return {"limit": 1}


class Turns(unittest.TestCase):
    ROUNDS = 5

    def measured(self, trials, workload, only=()):
        limits = []
        with contextlib.redirect_stderr(io.StringIO()):
            found = driver.measure(trials, workload, argparse.Namespace(only=only, rounds=self.ROUNDS), limits)
        return found, limits

    def test_each_round_gives_all_one_turn_and_begins_with_another(self):
        trials = FakeTrials()
        found, limits = self.measured(trials, SAVE)
        names = [entry.name for entry in entries.ENTRIES if SAVE in entry.workloads]
        rounds = [trials.turns[at : at + len(names) + 1] for at in range(0, len(trials.turns), len(names) + 1)]
        self.assertEqual(self.ROUNDS, len(rounds))
        self.assertEqual(self.ROUNDS, len({turns[1][0] for turns in rounds}))
        for turns in rounds:
            self.assertEqual("limits", turns[0][0])
            self.assertEqual(sorted(names), sorted(name for name, _ in turns[1:]))
        self.assertEqual([{"limit": 1}] * self.ROUNDS, limits)
        self.assertEqual({name: self.ROUNDS for name in names}, {name: len(trials) for name, trials in found.items()})

    def test_correctness_is_checked_in_the_first_round_and_restores_are_not_repeated_under_two_names(self):
        trials = FakeTrials()
        self.measured(trials, SAVE)
        parts = [parts for name, parts in trials.turns if name == MILEPOST]
        self.assertEqual([("check", "restore")] + [("restore",)] * (self.ROUNDS - 1), parts)
        parts = [parts for name, parts in trials.turns if name == LAZY]
        self.assertEqual([("check",)] + [()] * (self.ROUNDS - 1), parts)

    def test_who_failed_has_no_further_turn(self):
        trials = FakeTrials(failing={"Orbax": 2})
        found, limits = self.measured(trials, LOOP)
        self.assertEqual([{"round": 1}, {"error": "died"}], found["Orbax"])
        self.assertEqual(self.ROUNDS, len(found["numpy.save"]))
        self.assertEqual([], limits)

    def test_only_those_asked_for(self):
        found, _ = self.measured(FakeTrials(), SAVE, only=["SAFE", "numpy"])
        self.assertEqual(["safetensors", "numpy.save"], list(found))


class Merging(unittest.TestCase):
    OPTIONS = argparse.Namespace(size_mb=2000, leaves=20_000, steps=1_000, output="peers.json")

    def test_the_figures_before_stay_and_so_do_their_date_and_minutes(self):
        with mock.patch.object(report, "machine", lambda: "a machine"):
            before = record_of({SAVE: {FAST: [saved(call_s=1)]}}, date="2026-11-20T10:00")
            merged = driver.new_record(self.OPTIONS, before)
            self.assertEqual(before["results"], merged["results"])
            self.assertEqual(("2026-11-20T10:00", 12.3), (merged["since"], merged["minutes"]))
            again = driver.new_record(self.OPTIONS, merged)
            self.assertEqual("2026-11-20T10:00", again["since"])
            self.assertNotEqual("2026-11-20T10:00", again["date"])

    def test_what_was_measured_otherwise_is_not_merged(self):
        with mock.patch.object(report, "machine", lambda: "a machine"):
            for difference in ({"state_mb": 64}, {"leaves": 10}, {"steps": 10}, {"machine": "another"}):
                with self.assertRaises(SystemExit):
                    driver.new_record(self.OPTIONS, record_of({}, **difference))


class Restoring(unittest.TestCase):
    """The order of a trial's restores, and what the page cache holds before each."""

    def events_of(self, existing=True):
        with mock.patch.dict(sys.modules, numpy=mock.MagicMock(), ml_dtypes=mock.MagicMock()):
            import trial
        events, figures = [], {"state_bytes": 2 * GB}

        def notes(event):
            return lambda *_: events.append(event)

        peer = mock.Mock(restore_leaf=notes("leaf"), restore_existing=notes("existing"))
        peer.restore = lambda _: events.append("fresh") or {}
        if not existing:
            peer.restore_existing = mock.Mock(side_effect=trial.Unsupported)
        ready = mock.Mock()
        with mock.patch.multiple(trial.measuring, make_cold=notes("cold"), make_warm=notes("warm"), make_memory_ready=ready), \
                mock.patch.object(trial.states, "touch", notes("touch")):
            trial.restore_all(peer, "directory", "leaf", figures)
        self.assertEqual([mock.call(2 * GB)] * 6, ready.call_args_list)
        del figures["state_bytes"]
        return events, figures

    def test_first_what_has_just_been_saved_then_cold_and_warm(self):
        events, figures = self.events_of()
        self.assertEqual("existing cold fresh touch warm fresh touch cold existing warm existing cold leaf".split(), events)
        self.assertEqual(6, len(figures))

    def test_who_cannot_restore_into_existing_memory(self):
        events, figures = self.events_of(existing=False)
        self.assertEqual("fresh touch cold fresh touch warm fresh touch cold warm cold leaf".split(), events)
        self.assertEqual({"restore_just_saved_s", "restore_cold_fresh_s", "restore_warm_fresh_s", "leaf_s"}, set(figures))

    def test_freeing_what_was_restored_takes_no_time(self):
        events = []

        class Restored:
            def __del__(self):
                events.append("freed")

        with mock.patch.object(measuring.time, "perf_counter", lambda: events.append("clock") or 0):
            measuring.seconds(Restored)
        self.assertEqual(["clock", "clock", "freed"], events)


def methods_of(module, name):
    """Of a class of an adapter and of its bases there; what Peer itself has only says that there is none."""
    tree = ast.parse((PEERS / "adapters" / f"{module}.py").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = {node.name for node in classes[name].body if isinstance(node, ast.FunctionDef)}
    for base in classes[name].bases:
        if base.id in classes:
            found |= methods_of(module, base.id)
    return found


class Entries(unittest.TestCase):
    NEEDED = {SAVE: {"save", "restore"}, LEAVES: {"save", "restore"}, LOOP: {"save"}, STEPS: {"open_and_list"},
              CODEC: {"encode", "decode"}}

    def test_adapters_have_what_their_workloads_call(self):
        for entry in entries.ENTRIES:
            if entry.ours:
                self.assertEqual(entry.fence, entry.peer.endswith(" lazy"), entry.name)
                continue
            module, name = entry.peer.split(":")
            methods = methods_of(module, name)
            for workload in entry.workloads:
                self.assertLessEqual(self.NEEDED[workload], methods, f"{entry.name}: {workload}")
            self.assertEqual(entry.fence, "fence" in methods, entry.name)

    def test_workloads_and_names(self):
        names = [entry.name for entry in entries.ENTRIES]
        self.assertEqual(len(names), len(set(names)))
        for entry in entries.ENTRIES:
            self.assertTrue(entry.workloads, entry.name)
            self.assertLessEqual(set(entry.workloads), set(entries.WORKLOADS), entry.name)
            self.assertEqual(entry.ours, entry.name.startswith("milepost"), entry.name)
        self.assertEqual(set(entries.WORKLOADS), set(driver.SECONDS_MAX))

    def test_all_are_pinned_and_described(self):
        pinned = "\n".join(path.read_text(encoding="utf-8") for path in PEERS.glob("requirements*.txt"))
        page = (ROOT / "docs/peers.md").read_text(encoding="utf-8")
        for entry in entries.ENTRIES:
            self.assertIn(f"\n| {entry.name} |", page)
            if not entry.ours:
                self.assertIn(f"\n{entry.package}==", pinned)

    def test_goals_name_what_is_measured(self):
        by_name = {entry.name: entry for entry in entries.ENTRIES}
        for goal in goals.GOALS:
            ours = [by_name[name] for name in goal.ours if goal.workload in by_name[name].workloads]
            self.assertTrue(ours, f"{goal.workload}: {goal.figure.title}")
            rivals = [entry for entry in entries.ENTRIES
                      if not entry.ours and goal.workload in entry.workloads and goal.among(entry)]
            self.assertTrue(rivals, f"{goal.workload}: {goal.figure.title} of {goal.whom}")


if __name__ == "__main__":
    unittest.main()
