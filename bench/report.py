#!/usr/bin/env python3
"""Makes one table and one JSON file of what the benchmarks measured.

Usage: report.py OUTPUT.json RESULT.json...

Each RESULT.json is what one benchmark wrote with --benchmark_out. A counter "x" is judged by the counter
"x.at_most" or "x.at_least" of the same row.
"""

import json
import os
import pathlib
import sys
import textwrap

WIDTH = 110


def number(value):
    """Three digits that matter."""
    if value is None:
        return ""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3f}" if size >= 0.001 else f"{value:.4f}"


def percent(value):
    """Nothing where the limit is next to nothing: zeros have no entropy."""
    return "" if value is None or value > 10 else f"{100 * value:+.1f} %"


def digits(value):
    return "" if value is None else f"{value:.0f}"


class Section:
    """The rows whose names begin with `prefix`: a question, what the columns mean, and the columns."""

    def __init__(self, prefix, question, note, labels, columns):
        self.prefix, self.question, self.note, self.labels, self.columns = prefix, question, note, labels, columns


SECTIONS = [
    Section("stall", "How long does save() hold up the training loop?",
            "A GPT's state of 156 leaves. Limit: memcpy of the same bytes between touched buffers, as many threads. "
            "cold: a manager's first save; warmed: the same after warm_up(); later: any other. Medians of turns.",
            ["mode", "state", "save"],
            [("call ms", "stall_ms", number), ("memcpy ms", "memcpy_ms", number), ("of memcpy", "of_memcpy", number)]),
    Section("loop", "How much does a save slow a loop that rewrites all of its state in every step?",
            "P: the stall of a save in copy mode. Extra time of the step that saves, and of all steps until the "
            "save is committed, in P. busy: training on all cores; spare: on one less. Limit (disk): raw O_DIRECT writes "
            "of as many bytes in place of the save. Medians of 11 saves.",
            ["mode", "cores"],
            [("step + P", "freeze_p", number), ("until committed + P", "total_p", number), ("P ms", "p_ms", number),
             ("plain step ms", "step_ms", number), ("steps", "steps", digits)]),
    Section("save", "How fast is a save, from the call until it is committed?",
            "1 GB. Limits: raw O_DIRECT writes of as many bytes with fsync, turn by turn, also while all cores copy memory "
            "(busy); order-0 entropy of the byte planes. Medians of 5 turns, of trained fp32 9.",
            ["data", "mode", "codec"],
            [("GB/s", "state_GB/s", number), ("disk GB/s", "disk_GB/s", number), ("busy", "busy_disk_GB/s", number),
             ("of disk", "of_disk", number), ("CPU-s/GB", "cpu_s/GB", number), ("ratio", "ratio", number), ("over entropy", "over_h0", percent)]),
    Section("restore", "How fast does it come back?",
            "1 GB. Limit: as many bytes read raw, O_DIRECT from the disk, or from the page cache on all cores, "
            "turn by turn, into touched buffers. Medians of 5 turns, from the disk 9.",
            ["codec", "from", "into"],
            [("GB/s", "state_GB/s", number), ("raw GB/s", "raw_GB/s", number), ("of raw", "of_raw", number)]),
    Section("part", "How fast does a part of it come back?",
            "From the disk. Limit: step record, manifest and chunk table, and just the bytes of the part, read raw.",
            ["codec", "part"],
            [("ms", "ms", number), ("raw ms", "raw_ms", number), ("of raw", "of_raw", number)]),
    Section("leaves", "What do 100,000 leaves of 64 floats cost?",
            "Limit of saving: their bytes on disk, written raw. Medians of 5 turns.",
            ["codec"],
            [("call ms", "call_ms", number), ("saved ms", "saved_ms", number), ("raw ms", "raw_ms", number),
             ("opened ms", "opened_ms", number), ("listed ms", "list_ms", number), ("one leaf ms", "one_ms", number)]),
    Section("steps", "What does a directory of 10,000 steps cost?",
            "In the page cache, one thread. Limits: readdir and a stat of each step's record (names); those, and each "
            "record opened, read and closed (records). Medians of 5 turns.",
            ["what", "limit"],
            [("ms", "ms", number), ("raw ms", "raw_ms", number), ("of raw", "of_raw", number)]),
    Section("memory", "Does memory stay within its bound?",
            "Most memory resident at any time (VmHWM), beside the state. Limit: staging_bytes.",
            ["state", "doing", "bound"],
            [("extra MB", "extra_MB", number), ("bound MB", "bound_MB", number), ("of bound", "of_bound", number)]),
    Section("release", "What does a release to a CSV file cost?",
            "Rows of about 50 bytes. Limits: appending the same row to a file of that size, with fsync; copying the file, "
            "with fsync. remove: a row that is there is replaced, in append mode. Medians of 7 to 41 turns.",
            ["release", "rows"],
            [("ms", "ms", number), ("raw ms", "raw_ms", number), ("of raw", "of_raw", number), ("MB", "MB", number),
             ("opened ms", "open_ms", number)]),
    Section("codec", "What do the codecs cost, and what do they save?",
            "One core, 64 MiB, chunks of 4 MiB. Limits: memcpy of the same chunks; order-0 entropy. Best of 9.",
            ["codec", "data"],
            [("encode GB/s", "GB/s", number), ("of memcpy", "of_memcpy", number), ("decode GB/s", "decode_GB/s", number),
             ("ratio", "ratio", number), ("over entropy", "over_h0", percent)]),
    Section("staging", "How fast are bytes staged?",
            "One core. The time of stream_copy as a share of memcpy's. Best of 9.",
            ["bytes", "offset"],
            [("GB/s", "GB/s", number), ("of memcpy", "of_memcpy", number)]),
]

NOT_COUNTERS = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions",
                "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit", "label",
                "error_occurred", "error_message"}


def rows_of(results):
    """{section prefix: {labels: row}}, in the order of measuring; a row: counters, goals, perhaps why it was skipped."""
    sections = {}
    for result in results:
        for benchmark in result["benchmarks"]:
            parts = [part for part in benchmark["run_name"].split("/")
                     if not part.startswith("iterations:") and part != "manual_time"]
            counters = {name: value for name, value in benchmark.items() if name not in NOT_COUNTERS}
            if parts[0] == "stream_copy_bench":
                parts = ["staging"] + [part.split(":")[1] for part in parts[1:]]
            elif parts[-1] in ("encode", "decode"):
                parts, coding = ["codec"] + parts[:-1], parts[-1]
                if coding == "decode":
                    counters = {"decode_GB/s": counters.get("GB/s")}
            row = sections.setdefault(parts[0], {}).setdefault(tuple(parts[1:]), {"counters": {}, "goals": []})
            for name, value in counters.items():
                base, dot, bound = name.rpartition(".")
                if dot and bound in ("at_most", "at_least"):
                    measured = counters[base]
                    met = measured <= value if bound == "at_most" else measured >= value
                    row["goals"].append({"counter": base, bound: value, "measured": measured, "met": met})
                else:
                    row["counters"][name] = value
            if benchmark.get("error_occurred"):
                row["skipped"] = benchmark["error_message"]
    return sections


def painted(text, met):
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{32 if met else 31}m{text}\033[0m"


def goal_text(goal, headers):
    bound, sign = ("at_most", "<=") if "at_most" in goal else ("at_least", ">=")
    header = headers.get(goal["counter"], goal["counter"])
    return painted(f"{'met' if goal['met'] else 'MISSED'}: {header} {sign} {goal[bound]:g}", goal["met"])


def print_section(section, rows):
    headers = {counter: header for header, counter, _ in section.columns}
    print(f"\n{section.question}")
    print(textwrap.indent(textwrap.fill(section.note, WIDTH - 2), "  "))
    print()
    cells = []
    before = [None] * len(section.labels)
    for labels, row in rows.items():
        shown = ["" if labels[: i + 1] == tuple(before[: i + 1]) else label for i, label in enumerate(labels)]
        before = list(labels)
        cells.append(shown + [form(row["counters"].get(counter)) for _, counter, form in section.columns])
    heads = section.labels + [header for header, _, _ in section.columns]
    # A column that nothing was measured for is left out.
    used = [i for i in range(len(heads)) if i < len(section.labels) or any(line[i] for line in cells)]
    widths = {i: max([len(heads[i])] + [len(line[i]) for line in cells]) for i in used}

    def aligned(line):
        return "  " + "  ".join(line[i].ljust(widths[i]) if i < len(section.labels) else line[i].rjust(widths[i]) for i in used)

    print(aligned(heads).rstrip())
    print("  " + "-" * (len(aligned(heads)) - 2))
    for line, row in zip(cells, rows.values()):
        remark = "   ".join(goal_text(goal, headers) for goal in row["goals"])
        if "skipped" in row:
            remark = "skipped: " + row["skipped"]
        print((aligned(line) + "   " + remark).rstrip())


def machine(context):
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")]
    return f"{context['num_cpus']} cores of {names[0] if names else 'an unknown kind'}, Linux {os.uname().release}"


def main():
    output, inputs = pathlib.Path(sys.argv[1]), sys.argv[2:]
    results = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in inputs]
    sections = rows_of(results)
    context = results[0]["context"]
    print(f"milepost, measured {context['date'][:16].replace('T', ' ')} on {machine(context)}")
    for section in SECTIONS:
        if section.prefix in sections:
            print_section(section, sections[section.prefix])

    figures = [{"section": prefix, "name": list(labels), **row} for prefix, rows in sections.items() for labels, row in rows.items()]
    goals = [(figure, goal) for figure in figures for goal in figure["goals"]]
    missed = [(figure, goal) for figure, goal in goals if not goal["met"]]
    print(f"\nGoals: {len(goals) - len(missed)} met, {len(missed)} missed")
    for figure, goal in missed:
        bound = "at_most" if "at_most" in goal else "at_least"
        place = " / ".join([figure["section"], *figure["name"]])
        print(f"  {place}: {goal['counter']} is {number(goal['measured'])}, the goal {bound.replace('_', ' ')} {goal[bound]:g}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"date": context["date"], "machine": machine(context), "goals_met": len(goals) - len(missed),
                                  "goals_missed": len(missed), "figures": figures}, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {output}")


if __name__ == "__main__":
    main()
