#!/usr/bin/env python3
"""Draws a flame graph (Brendan Gregg, 2011) as SVG: where the samples of a profile were taken.

    perf script -i perf.data -F comm,ip,sym,dso | bench/flame_graph.py --title "A save" > save.svg

A box is a function, as wide as its share of all samples, itself and what it called, which stands on it. The lowest row is
the kind of thread. The pointer over a box shows its name in full.
"""

import argparse
import html
import re
import sys

WIDTH, ROW, MARGIN, CHAR = 1200, 17, 12, 6.6
NARROWEST = 0.9  # pixels; what is narrower is left out
SKIPPED = re.compile(r"^(start_thread|__?clone3?|__libc_start|_start$|main$|std::|void std::|__GI_|entry_SYSCALL|do_syscall)")
KINDS = [  # what a box is, by its library and name, and its colour
    ("checksum and coding", re.compile(r"XXH|ZSTD|HUF_|FSE_|N_\w+::(?!copy)", re.I), "#a7d8a0"),
    ("memory copied or filled", re.compile(r"mem(cpy|move|set)|clear_(huge_)?page|copy_user|rep_movs|N_\w+::copy", re.I), "#f6c177"),
    ("kernel", re.compile(r"\[kernel"), "#eb9c8f"),
    ("milepost", re.compile(r" (profiled|libmilepost)"), "#8ecae6"),
    ("other", re.compile(""), "#d6d3cd"),
]


def short(name):
    """A C++ name without its arguments and what it is a template of."""
    name = name.replace("(anonymous namespace)::", "").replace("operator()", "lambda")
    inner = re.compile(r"<[^<>]*>|\([^()]*\)( const)?|\{[^{}]*\}")
    while inner.search(name):
        name = inner.sub("", name)
    return re.sub("(::)+", "::", name).strip(": ").rsplit(" ", 1)[-1].removeprefix("milepost::")


def stacks(lines):
    """Each sample as a list from the thread's kind to the innermost function, in pairs of name and library."""
    thread, frames = None, []
    for line in lines:
        if not line.strip():
            if thread is not None:
                yield [(re.sub(r"[-_ ]?\d+$", "", thread), "thread")] + frames[::-1]
            thread, frames = None, []
        elif not line.startswith((" ", "\t")):
            thread = line.strip()
        else:
            found = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line.rstrip())
            if found and not SKIPPED.match(found[1]) and "unknown" not in found[2]:
                library = found[2].rsplit("/", 1)[-1]
                name = short(re.sub(r"\+0x[0-9a-f]+$", "", found[1]))
                frames.append((library if "unknown" in name else name, library))


def tree_of(samples):
    root = {"count": 0, "below": {}}
    for stack in samples:
        node = root
        node["count"] += 1
        for frame in (frame for i, frame in enumerate(stack) if i == 0 or frame != stack[i - 1]):
            node = node["below"].setdefault(frame, {"count": 0, "below": {}})
            node["count"] += 1
    return root


def depth_of(node):
    return 1 + max((depth_of(below) for below in node["below"].values()), default=0)


def colour_of(name, library):
    if library == "thread":
        return "#e8e6e1"
    return next(colour for _, pattern, colour in KINDS if pattern.search(f"{name} {library}"))


def boxes(node, left, level, unit, total):
    """SVG of all that stands on a node."""
    for (name, library), below in sorted(node["below"].items()):
        width = below["count"] * unit
        if width >= NARROWEST:
            yield left, level, width, name, library, below["count"] / total
            yield from boxes(below, left, level + 1, unit, total)
        left += width


def draw(root, title):
    height = 74 + ROW * (depth_of(root) - 1) + MARGIN
    unit = (WIDTH - 2 * MARGIN) / root["count"]
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="11">')
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fffdf9"/>'
    yield f'<text x="{MARGIN}" y="24" font-size="15" font-weight="bold">{html.escape(title)}</text>'
    at = MARGIN
    for kind, _, colour in KINDS:
        yield f'<rect x="{at}" y="38" width="12" height="12" fill="{colour}"/><text x="{at + 17}" y="48">{kind}</text>'
        at += 40 + len(kind) * CHAR
    for left, level, width, name, library, share in boxes(root, MARGIN, 0, unit, root["count"]):
        y = height - MARGIN - ROW * (level + 1)
        room = int((width - 6) / CHAR)
        label = name if len(name) <= room else name[: room - 1] + "…" if room > 3 else ""
        yield (f"<g><title>{html.escape(name)} ({html.escape(library)}): {share:.1%}</title>"
               f'<rect x="{left:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" rx="1.5" '
               f'fill="{colour_of(name, library)}"/>'
               + (f'<text x="{left + 3:.1f}" y="{y + 12}">{html.escape(label)}</text>' if label else "") + "</g>")
    yield "</svg>"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", default="Profile")
    arguments = parser.parse_args()
    root = tree_of(stacks([*sys.stdin, "\n"]))
    if not root["count"]:
        sys.exit("flame_graph.py: no samples")
    print("\n".join(draw(root, f"{arguments.title} ({root['count']} samples)")))


if __name__ == "__main__":
    main()
