"""The plots: SVG for the README, PNG beside it."""

import pathlib

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "milepost", "svg.fonttype": "path"})

from matplotlib import pyplot  # noqa: E402

import entries  # noqa: E402
import goals  # noqa: E402
from goals import number  # noqa: E402

OURS, THEIRS, LIMIT, TEXT = "#0b7a75", "#b8bfc6", "#d1495b", "#24292f"


def bars_of(record, workload, figure):
    """(name, least, median, most) of each entry that has the figure, the best first."""
    bars = []
    for entry in entries.ENTRIES:
        trials = record["results"].get(workload, {}).get(entry.name, [])
        found = goals.values(trials, figure)
        if found:
            name = entry.name + (" (torn)" if goals.is_torn(trials) else "")
            bars.append((name, min(found), goals.median(trials, figure), max(found)))
    return sorted(bars, key=lambda bar: -bar[2] if figure.better == "higher" else bar[2])


def panel(axes, bars, figure, title, limit=None, logarithmic=False):
    """A bar for each; on a logarithmic scale, where the length of a bar says nothing, a dot. A line from least to most."""
    for row, (name, least, median, most) in enumerate(bars):
        color = OURS if name.startswith("milepost") else THEIRS
        if logarithmic:
            axes.plot([median], [row], "o", color=color, markersize=8, zorder=3)
        else:
            axes.barh(row, max(median, 0), color=color, height=0.72, zorder=2)
        axes.plot([least if logarithmic else max(least, 0), max(most, 0)], [row, row], color=TEXT, linewidth=0.9, zorder=3)
        axes.annotate(number(median), (max(median, most, 0), row), xytext=(8 if logarithmic else 5, 0),
                      textcoords="offset points", va="center", fontsize=8, color=TEXT, zorder=4)
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars], fontsize=8.5, color=TEXT)
    for label in axes.get_yticklabels():
        if label.get_text().startswith("milepost"):
            label.set(fontweight="bold", color=OURS)
    axes.set_ylim(len(bars) - 0.4, -1.2 if limit is not None else -0.6)
    axes.set_title(f"{title}, {figure.unit}", loc="left", fontsize=10.5, fontweight="bold", color=TEXT)
    axes.set_xlabel(f"{figure.better} is better" + (", logarithmic" if logarithmic else ""), loc="right", fontsize=8,
                    color="#6e7781")
    if logarithmic:
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.margins(x=0.14)
    if limit is not None:
        axes.axvline(limit, color=LIMIT, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate("the machine's limit", (limit, -0.85), xytext=(4, 0), textcoords="offset points", fontsize=7.5,
                      color=LIMIT, va="center")
    axes.tick_params(axis="x", labelsize=7.5, colors="#6e7781", length=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eaeef2", zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)


def limit_of(record, name, factor=1.0):
    found = sorted(one[name] for one in record["results"]["limits"]["limits"] if name in one)
    return factor * found[len(found) // 2] if found else None


def figure_of(record, panels):
    """One picture of several panels, two side by side; none if nothing was measured for it."""
    panels = [(bars_of(record, workload, figure), figure, *rest) for workload, figure, *rest in panels]
    panels = [one for one in panels if one[0]]
    if not panels:
        return None
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    bars = max(len(one[0]) for one in panels)
    picture, all_axes = pyplot.subplots(down, across, figsize=(6.2 * across, (0.9 + 0.27 * bars) * down), squeeze=False)
    for axes, one in zip(all_axes.flat, panels):
        panel(axes, *one)
    for axes in all_axes.flat[len(panels):]:
        axes.set_visible(False)
    picture.tight_layout(w_pad=2.5, h_pad=2)
    return picture


def draw(record, folder: pathlib.Path):
    folder.mkdir(parents=True, exist_ok=True)
    size = f"{record['state_mb'] / 1000:g} GB" if record["state_mb"] >= 1000 else f"{record['state_mb']} MB"
    pictures = {
        "peers-save": [
            (entries.SAVE, goals.CALL, f"What the call of save() blocks, {size}", limit_of(record, "memcpy_s", 1e3), True),
            (entries.SAVE, goals.DURABLE, f"Until durable, {size}", limit_of(record, "write_s")),
        ],
        "peers-loop": [
            (entries.LOOP, goals.LOST, "Throughput lost by a loop that saves"),
            (entries.SAVE, goals.CPU, "CPU of a save"),
        ],
        "peers-restore": [
            (entries.SAVE, goals.COLD_FRESH, f"Restore of {size}, cold, into new memory"),
            (entries.SAVE, goals.COLD_EXISTING, f"Restore of {size}, cold, in place"),
            (entries.SAVE, goals.WARM_EXISTING, f"Restore of {size}, warm, in place"),
            (entries.SAVE, goals.JUST_SAVED, f"Restore of {size} that has just been saved"),
        ],
        "peers-small": [
            (entries.LEAVES, goals.DURABLE, f"{record['leaves']:,} small leaves, until durable", None, True),
            (entries.SAVE, goals.DISK, "Bytes on disk"),
        ],
    }
    for name, panels in pictures.items():
        picture = figure_of(record, panels)
        if picture:
            for kind in ("svg", "png"):
                picture.savefig(folder / f"{name}.{kind}", dpi=110, facecolor="white", metadata={"Date": None} if kind == "svg" else None)
            pyplot.close(picture)
