"""The goals: what milepost is to be better in, and by how much. A goal compares medians with the best of the peers."""

import dataclasses
import statistics

import entries
from entries import CODEC, FAST, LEAVES, LOOP, MILEPOST, SAVE, STEPS

GB = 1e9


def number(value):
    """Three digits that matter."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.095 else f"{value:.3f}"


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
    """milepost's `entry` is to be `factor` times better than the best that `among` lets compete."""

    workload: str
    figure: Figure
    factor: float
    entry: str = MILEPOST
    among: object = lambda entry: True
    whom: str = "every peer"


def _package(*names):
    return lambda entry: entry.name in names


def _at_once(entry):
    return not entry.fence


GOALS = [
    Goal(SAVE, CALL, 3, among=_at_once, whom="every peer whose caller may change its buffers at once"),
    Goal(SAVE, CALL, 10, among=_package("Orbax"), whom="Orbax by default"),
    Goal(SAVE, CALL, 10, among=_package("DCP async_save"), whom="torch async_save by default"),
    Goal(SAVE, DURABLE, 3),
    Goal(SAVE, CPU, 3),
    Goal(SAVE, DISK, 1, entry=FAST),
    Goal(SAVE, COLD_EXISTING, 1.5),
    Goal(SAVE, WARM_EXISTING, 1),
    Goal(SAVE, COLD_FRESH, 1.5),
    Goal(SAVE, WARM_FRESH, 1),
    Goal(SAVE, JUST_SAVED, 1),
    Goal(SAVE, LEAF, 1),
    Goal(LEAVES, CALL, 10, among=_at_once, whom="every peer whose caller may change its buffers at once"),
    Goal(LEAVES, DURABLE, 10),
    Goal(LOOP, LOST, 3),
    Goal(STEPS, OPEN, 1),
    Goal(CODEC, STORED, 1, entry=FAST),
    Goal(CODEC, ENCODE, 1, entry=FAST),
]


def judged(results):
    """Each goal that could be judged: what milepost has, the best peer and what it has, how many times better, met."""
    verdicts = []
    for goal in GOALS:
        trials = results.get(goal.workload, {})
        ours = median(trials.get(goal.entry, []), goal.figure)
        theirs = {}
        for entry in entries.ENTRIES:
            if entry.ours or not goal.among(entry) or is_torn(trials.get(entry.name, [])):
                continue
            value = median(trials.get(entry.name, []), goal.figure)
            if value is not None:
                theirs[entry.name] = value
        if ours is None or not theirs:
            continue
        best = (max if goal.figure.better == "higher" else min)(theirs, key=theirs.get)
        ratio = times(ours, theirs[best], goal.figure)
        verdicts.append({
            "workload": goal.workload, "figure": goal.figure.title, "unit": goal.figure.unit, "entry": goal.entry,
            "ours": ours, "best": best, "theirs": theirs[best], "whom": goal.whom, "times": ratio,
            "at_least": goal.factor, "met": ratio >= goal.factor,
        })
    return verdicts
