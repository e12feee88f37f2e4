"""The goals: what milepost is to be better in, and by how much. A goal compares medians with the best of the peers."""

import dataclasses
import statistics

import entries
from entries import CODEC, COW, FAST, LAZY, LEAVES, LOOP, MILEPOST, SAVE, STEPS

GB = 1e9


def number(value, more=0):
    """Three digits that matter, and `more`."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.095 else 3
    return f"{value:,.{decimals + more}f}"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A column: what it is called, how it follows from the figures of a trial, and how it is shown."""

    title: str
    unit: str
    of: object  # a function of a trial's figures; KeyError where there is none
    better: str = "lower"
    noise: float = 0  # less than this cannot be told from nothing


def _rate(name):
    return lambda figures: figures["state_bytes"] / GB / figures[name]


CALL = Figure("call", "ms", lambda figures: 1e3 * figures["call_s"])
FINISHED = Figure("finished", "s", lambda figures: figures["finished_s"])
DURABLE = Figure("durable", "s", lambda figures: figures["durable_s"])
CPU = Figure("CPU", "s/GB", lambda figures: figures["cpu_s"] / (figures["state_bytes"] / GB))
MEMORY = Figure("memory", "GB", lambda figures: figures["extra_bytes"] / GB)
DISK = Figure("on disk", "of state", lambda figures: figures["disk_bytes"] / figures["state_bytes"])
COLD_EXISTING = Figure("cold, into existing", "GB/s", _rate("restore_cold_existing_s"), "higher")
WARM_EXISTING = Figure("warm, into existing", "GB/s", _rate("restore_warm_existing_s"), "higher")
COLD_FRESH = Figure("cold, fresh", "GB/s", _rate("restore_cold_fresh_s"), "higher")
WARM_FRESH = Figure("warm, fresh", "GB/s", _rate("restore_warm_fresh_s"), "higher")
JUST_SAVED = Figure("just saved", "GB/s", _rate("restore_just_saved_s"), "higher")
LEAF = Figure("one leaf", "ms", lambda figures: 1e3 * figures["leaf_s"])
LOST = Figure("throughput lost", "%", lambda figures: 100 * figures["lost"], noise=0.5)
STEP = Figure("step", "ms", lambda figures: 1e3 * figures["step_s"])
OPEN = Figure("open and list", "ms", lambda figures: 1e3 * figures["open_s"])
ENCODE = Figure("encode", "GB/s", _rate("encode_s"), "higher")
DECODE = Figure("decode", "GB/s", _rate("decode_s"), "higher")
STORED = Figure("stored", "of state", lambda figures: figures["stored_bytes"] / figures["state_bytes"])


def values(trials, figure):
    """Of all rounds that have the figure."""
    found = []
    for figures in trials:
        try:
            found.append(figure.of(figures))
        except KeyError:
            pass
    return found


def median(trials, figure):
    found = values(trials, figure)
    return statistics.median(found) if found else None


def times(ours, theirs, figure):
    """How many times better ours is."""
    ours, theirs = max(ours, figure.noise), max(theirs, figure.noise)
    return ours / theirs if figure.better == "higher" else theirs / ours


def is_torn(trials):
    """Whether what was saved is not what the state was at the call."""
    return any(figures.get("correct") == 0 for figures in trials)


@dataclasses.dataclass(frozen=True)
class Goal:
    """The best of milepost's entries in `ours` is to be `factor` times better than the best of those that `among` lets
    compete."""

    workload: str
    figure: Figure
    factor: float
    ours: tuple = (MILEPOST, FAST)  # in the default mode
    among: object = lambda entry: True
    whom: str = "every peer"


def _package(*names):
    return lambda entry: entry.name in names


def _at_once(entry):
    return not entry.fence


AT_ONCE = (MILEPOST, FAST, COW)  # of these the caller may change its buffers at once

GOALS = [
    Goal(SAVE, CALL, 3, ours=AT_ONCE, among=_at_once, whom="every peer whose caller may change its buffers at once"),
    Goal(SAVE, CALL, 10, ours=AT_ONCE, among=_package("Orbax"), whom="Orbax by default"),
    Goal(SAVE, CALL, 10, ours=AT_ONCE, among=_package("DCP async_save"), whom="torch async_save by default"),
    Goal(SAVE, DURABLE, 3),
    Goal(SAVE, CPU, 3),
    Goal(SAVE, DISK, 1),
    Goal(SAVE, COLD_EXISTING, 1.5),
    Goal(SAVE, WARM_EXISTING, 1),
    Goal(SAVE, COLD_FRESH, 1.5),
    Goal(SAVE, WARM_FRESH, 1),
    Goal(SAVE, JUST_SAVED, 1),
    Goal(SAVE, LEAF, 1),
    Goal(LEAVES, CALL, 10, ours=AT_ONCE, among=_at_once, whom="every peer whose caller may change its buffers at once"),
    Goal(LEAVES, DURABLE, 10),
    Goal(LOOP, LOST, 3, ours=(*AT_ONCE, LAZY)),
    Goal(STEPS, OPEN, 1),
    Goal(CODEC, STORED, 1),
    Goal(CODEC, ENCODE, 1),
]


def judged(results):
    """Each goal that could be judged: what milepost has, the best peer and what it has, how many times better, met."""
    verdicts = []
    for goal in GOALS:
        measured = {
            name: median(trials, goal.figure) for name, trials in results.get(goal.workload, {}).items() if not is_torn(trials)
        }
        measured = {name: value for name, value in measured.items() if value is not None}
        ours = [name for name in goal.ours if name in measured]
        theirs = [entry.name for entry in entries.ENTRIES
                  if not entry.ours and goal.among(entry) and entry.name in measured]
        if not ours or not theirs:
            continue
        best_of = max if goal.figure.better == "higher" else min
        own, best = best_of(ours, key=measured.get), best_of(theirs, key=measured.get)
        ratio = times(measured[own], measured[best], goal.figure)
        verdicts.append({
            "workload": goal.workload, "figure": goal.figure.title, "unit": goal.figure.unit, "entry": own,
            "ours": measured[own], "best": best, "theirs": measured[best], "whom": goal.whom, "times": ratio,
            "at_least": goal.factor, "met": ratio >= goal.factor,
        })
    return verdicts
