#!/usr/bin/env python3
"""Makes tables of what driver.py measured: on the terminal, in Markdown, and the plots.

Usage: report.py PEERS.json [--markdown PAGE.md] [--plots FOLDER]

--markdown renews what lies between the marks in a page, such as docs/peers.md.
"""

import argparse
import json
import os
import pathlib
import re
import sys

import entries
import goals
from goals import FAST, MILEPOST, number

BESIDE = {  # workload: what of the machine's limits a figure is compared with
    goals.CALL.title: ("memcpy_s", 1e3),
    goals.DURABLE.title: ("write_s", 1),
}
RAW_READS = {goals.COLD_EXISTING.title: "read_cold_s", goals.COLD_FRESH.title: "read_cold_s",
             goals.WARM_EXISTING.title: "read_warm_s", goals.WARM_FRESH.title: "read_warm_s",
             goals.JUST_SAVED.title: "read_warm_s"}


class Table:
    """A workload's rows, in the order of their first column."""

    def __init__(self, workload, title, note, columns):
        self.workload, self.title, self.note, self.columns = workload, title, note, columns


TABLES = [
    Table(entries.SAVE, "Saving {size}",
          "call: how long save() blocks the training loop. finished: the peer's own word. durable: with an fsync of all "
          "that it wrote. memory: the most that was resident beside the state.",
          [goals.CALL, goals.FINISHED, goals.DURABLE, goals.CPU, goals.MEMORY, goals.DISK]),
    Table(entries.SAVE, "Restoring {size}",
          "cold: not in the page cache; warm: all of it there; just saved: what the save left there, and into existing, or fresh "
          "where the peer cannot. existing: into buffers that are there; fresh: into new ones. one leaf: cold.",
          [goals.COLD_EXISTING, goals.COLD_FRESH, goals.WARM_EXISTING, goals.WARM_FRESH, goals.JUST_SAVED, goals.LEAF]),
    Table(entries.LEAVES, "{leaves:,} leaves of 1 KB", "As above.",
          [goals.CALL, goals.FINISHED, goals.DURABLE, goals.COLD_FRESH, goals.WARM_FRESH, goals.LEAF]),
    Table(entries.LOOP, "A training loop that saves",
          "Both cores compute, a save every 10 steps. Throughput lost: against the same loop without saves, in the same "
          "process, until the last save is finished.",
          [goals.LOST, goals.CALL, goals.STEP]),
    Table(entries.STEPS, "A directory of {steps:,} steps", "A new manager opens it and lists the steps.", [goals.OPEN]),
    Table(entries.CODEC, "The codec alone", "One core.", [goals.STORED, goals.ENCODE, goals.DECODE]),
]


def machine():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else 'an unknown kind'}, Linux {os.uname().release}"


def cell(trials, figure):
    """The median and, in brackets, the least and the most."""
    found = goals.values(trials, figure)
    if not found:
        return ""
    median = goals.median(trials, figure)
    least, most = min(found), max(found)
    spread = f" ({number(least)}–{number(most)})" if number(least) != number(most) else ""
    return number(median) + spread


def times(trials, ours, figure):
    """How many times better milepost is than a peer."""
    theirs, own = goals.median(trials, figure), goals.median(ours, figure)
    return "" if theirs is None or own is None else number(goals.times(own, theirs, figure)) + "x"


def rival(results, entry, figure):
    """The trials of milepost that an entry is compared with: in size, what compresses with what compresses."""
    of_size = figure in (goals.DISK, goals.STORED)
    return results.get(FAST if of_size and entry.compressed else MILEPOST) or results.get(FAST) or []


def remark_of(entry, trials):
    errors = [figures["error"] for figures in trials if "error" in figures]
    if errors:
        return "failed: " + errors[0]
    if goals.is_torn(trials):
        return "TORN: saves what the state became after the call"
    return "the state may change after a second call" if entry.fence else ""


def columns_of(table, record):
    """Those that any entry has figures of."""
    results = record["results"].get(table.workload, {})
    return [figure for figure in table.columns if any(goals.values(trials, figure) for trials in results.values())]


def limit_rows(columns, limits):
    """What the machine can do with those bytes at most, where that is a limit."""
    row = {}
    for figure in columns:
        name, factor = BESIDE.get(figure.title, (None, 1))
        if name:
            row[figure.title] = [factor * one[name] for one in limits if name in one]
        elif figure.title in RAW_READS:
            row[figure.title] = [one["state_bytes"] / 1e9 / one[RAW_READS[figure.title]] for one in limits if "write_s" in one]
    return row


def rows_of(table, columns, record):
    """(name, cells, remark) of each entry of a table, the machine's limits first."""
    results = record["results"].get(table.workload, {})
    by_name = {entry.name: entry for entry in entries.ENTRIES}
    rows = []
    limits = limit_rows(columns, record["results"]["limits"]["limits"]) if table.workload == entries.SAVE else {}
    if any(limits.values()):
        cells = []
        for figure in columns:
            found = sorted(limits.get(figure.title, []))
            cells.append(f"{number(found[len(found) // 2])} ({number(found[0])}–{number(found[-1])})" if found else "")
        rows.append(("machine's limit", cells, "memcpy; raw writes and reads of as many bytes"))
    for name, trials in results.items():
        cells = [cell(trials, figure) for figure in columns]
        entry = by_name[name]
        failed = any("error" in figures for figures in trials)
        if not any(cells) and not failed:
            continue
        if not entry.ours:
            cells = [text and f"{text} {times(trials, rival(results, entry, figure), figure)}".strip()
                     for text, figure in zip(cells, columns)]
        rows.append((name, cells, remark_of(entry, trials)))
    return rows


def tables_of(record):
    """(title, note, heads, rows) of each table that has rows."""
    for table in TABLES:
        columns = columns_of(table, record)
        rows = rows_of(table, columns, record)
        if rows:
            heads = [""] + [f"{figure.title}, {figure.unit}" for figure in columns]
            size = f"{record['state_mb'] / 1000:g} GB" if record["state_mb"] >= 1000 else f"{record['state_mb']} MB"
            yield table.title.format(size=size, leaves=record["leaves"], steps=record["steps"]), table.note, heads, rows


def numbers_of(verdict):
    """Ours, theirs and the ratio of a goal; more digits where three would not show who is ahead, or that it is just missed."""
    close = any(abs(verdict["times"] / bound - 1) < 0.01 for bound in (1, verdict["at_least"]))
    return [number(verdict[name], more=2 * close) for name in ("ours", "theirs", "times")]


def goal_text(verdict):
    ours, theirs, ratio = numbers_of(verdict)
    return (f"{verdict['workload']}: {verdict['figure']}: {verdict['entry']} {ours} {verdict['unit']}, "
            f"{verdict['best']} {theirs}: {ratio}x, the goal {verdict['at_least']:g}x of {verdict['whom']}")


def painted(text, met):
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{32 if met else 31}m{text}\033[0m"


def days_of(record):
    """From when to when; more than one day only of what has been merged."""
    days = sorted({record.get("since", record["date"])[:10], record["date"][:10]})
    return " to ".join(days)


def rounds_of(record):
    """How many each workload had."""
    found = {max(map(len, trials.values())) for workload, trials in record["results"].items() if workload != "limits" and trials}
    return " to ".join(map(str, sorted({min(found), max(found)}))) if found else "0"


def print_all(record, verdicts):
    print(f"milepost and its peers, measured {days_of(record)} on {record['machine']}")
    print("Medians (least–most) of the rounds, and how many times better milepost is")
    for title, note, heads, rows in tables_of(record):
        print(f"\n{title}. {note}\n")
        lines = [heads] + [[name, *cells] for name, cells, _ in rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        remarks = [""] + [remark for _, _, remark in rows]
        for line, remark in zip(lines, remarks):
            print(("  " + "  ".join(text.ljust(width) for text, width in zip(line, widths)) + "  " + remark).rstrip())
    met = sum(verdict["met"] for verdict in verdicts)
    print(f"\nGoals: {met} met, {len(verdicts) - met} missed")
    for verdict in verdicts:
        print(painted(f"  {'met' if verdict['met'] else 'MISSED'}: {goal_text(verdict)}", verdict["met"]))


def markdown_of(record, verdicts):
    lines = [f"Measured {days_of(record)} on {record['machine']}, {rounds_of(record)} rounds, {record['minutes']:.0f} minutes. "
             "Medians (least–most), and how many times better `milepost` is. "
             + ", ".join(f"{name} {version}" for name, version in record["versions"].items()) + "."]
    for title, note, heads, rows in tables_of(record):
        remarks = any(remark for _, _, remark in rows)
        heads = heads + [""] * remarks
        lines += ["", f"### {title}", "", note, "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for name, cells, remark in rows:
            shown = f"**{name}**" if name.startswith("milepost") else name
            lines.append("| " + " | ".join([shown, *cells] + [remark] * remarks) + " |")
    met = sum(verdict["met"] for verdict in verdicts)
    lines += ["", f"### Goals: {met} met, {len(verdicts) - met} missed", "",
              "| goal | milepost | best peer | times better | |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        ours, theirs, ratio = numbers_of(verdict)
        lines.append(
            f"| {verdict['workload']}, {verdict['figure']}: {verdict['at_least']:g}x of {verdict['whom']} "
            f"| {ours} {verdict['unit']}, {verdict['entry']} | {theirs} {verdict['unit']}, {verdict['best']} "
            f"| {ratio} | {'met' if verdict['met'] else '**MISSED**'} |")
    return "\n".join(lines) + "\n"


def renew(page, text):
    """Puts the text between the marks of a page."""
    old = page.read_text(encoding="utf-8")
    new, count = re.subn(r"(<!-- figures -->\n).*(<!-- end of figures -->)", lambda match: match[1] + "\n" + text + "\n" + match[2],
                         old, flags=re.DOTALL)
    if count != 1:
        sys.exit(f"{page}: no <!-- figures --> ... <!-- end of figures -->")
    page.write_text(new, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--plots", type=pathlib.Path)
    options = parser.parse_args()
    record = json.loads(options.record.read_text(encoding="utf-8"))
    verdicts = goals.judged(record["results"])
    record["goals"] = verdicts
    options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print_all(record, verdicts)
    if options.markdown:
        renew(options.markdown, markdown_of(record, verdicts))
    if options.plots:
        import plots

        plots.draw(record, options.plots)


if __name__ == "__main__":
    main()
