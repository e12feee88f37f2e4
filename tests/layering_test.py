#!/usr/bin/env python3
"""Includes go one way: tools, bench, tests, examples -> engine -> policy -> io, and inside the engine
state <- format <- (save, restore) <- manager <- federated; headers include each other without circles.

Usage: layering_test.py [PROJECT_ROOT]. Proves first, on planted violations, that it would find one.
"""

import pathlib
import re
import sys
import tempfile

# What each layer may include beside itself. A file belongs to the layer whose longest prefix it has.
LAYERS = {
    "io/": set(),
    "policy/": {"io/", "policy/metrics.h"},
    "policy/metrics.h": set(),
    "engine/state/": {"io/"},
    "engine/progress.h": set(),
    "engine/spares.h": set(),
    "engine/within_step.h": {"io/"},
    "engine/items.h": {"io/", "engine/state/"},
    "engine/format/": {"io/", "engine/state/", "policy/metrics.h"},
    "engine/item_handler.": {"io/", "engine/state/", "engine/items.h", "engine/format/"},
    "engine/catalog.": {"io/", "engine/state/", "engine/format/"},
}
LAYERS["engine/save/"] = set(LAYERS) | {"policy/"}
LAYERS["engine/restore/"] = set(LAYERS) - {"engine/save/"}
LAYERS["engine/"] = set(LAYERS)  # the manager, and all that has no floor of its own
LAYERS["engine/federated/"] = set(LAYERS)
LAYERS["engine/milepost.h"] = set(LAYERS)
LIBRARY = frozenset(LAYERS)
LAYERS["tools/"] = set(LIBRARY)
LAYERS["examples/"] = set(LIBRARY)
LAYERS["bench/"] = set(LIBRARY) | {"examples/"}
LAYERS["tests/"] = set(LAYERS)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer_of(path):
    return max((layer for layer in LAYERS if path.startswith(layer)), key=len, default=None)


def resolve(root, source, target):
    """The file of this project that an include names (its path under the root), or None for others'."""
    if target == "milepost/milepost.h":
        return "engine/milepost.h"
    if target.startswith("milepost/"):
        return target.removeprefix("milepost/")
    if (root / target).is_file():
        return target
    beside = (root / source).parent / target
    if beside.is_file():
        return beside.resolve().relative_to(root.resolve()).as_posix()
    return None


def check(root):
    problems, graph = [], {}
    files = sorted(
        path
        for layer in sorted({layer.split("/")[0] for layer in LAYERS})
        for path in (root / layer).rglob("*")
        if path.suffix in (".h", ".cc")
    )
    for file in files:
        source = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            quote, spelled = match.groups()
            target = resolve(root, source, spelled)
            if target is None:
                continue
            where = f"{source}:{text.count(chr(10), 0, match.start(2)) + 1}"
            here, there = layer_of(source), layer_of(target)
            if not (root / target).is_file():
                problems.append(f'{where}: "{spelled}" is no file of this project')
            elif there in LIBRARY and (quote == "<" or not spelled.startswith("milepost/")):
                problems.append(f'{where}: "{spelled}" is to be included as "milepost/{target}"')
            elif there != here and there not in LAYERS[here]:
                allowed = ", ".join(sorted(LAYERS[here])) or "nothing else of this project"
                problems.append(f"{where}: {here} must not include {target}, which is of {there}; it may include {allowed}")
            graph.setdefault(source, []).append(target)
    return len(files), problems + find_cycles(graph)


def find_cycles(graph):
    """One message for each include that closes a circle."""
    problems, done, path = [], set(), []

    def visit(file):
        if file in path:
            problems.append("headers in a circle: " + " -> ".join(path[path.index(file):] + [file]))
        elif file not in done:
            path.append(file)
            for target in graph.get(file, []):
                visit(target)
            path.pop()
            done.add(file)

    for file in sorted(graph):
        visit(file)
    return problems


GOOD = {
    "io/a.h": "#include <vector>\n",
    "policy/p.h": '#include "milepost/io/a.h"\n',
    "engine/progress.h": "",
    "engine/state/s.h": '#include "milepost/io/a.h"\n',
    "engine/items.h": '#include "milepost/engine/state/s.h"\n',
    "engine/format/f.h": '#include "milepost/engine/state/s.h"\n',
    "engine/catalog.h": '#include "milepost/engine/format/f.h"\n',
    "engine/save/w.h": '#include "milepost/engine/format/f.h"\n#include "milepost/policy/p.h"\n',
    "engine/restore/r.h": '#include "milepost/engine/items.h"\n#include "milepost/engine/catalog.h"\n',
    "engine/manager.h": '#include "milepost/engine/save/w.h"\n#include "milepost/engine/restore/r.h"\n',
    "engine/federated/p.h": '#include "milepost/engine/manager.h"\n',
    "engine/milepost.h": '#include "milepost/engine/manager.h"\n#include "milepost/engine/federated/p.h"\n',
    "tools/t.cc": '#include "milepost/milepost.h"\n#include "tools/t.h"\n',
    "tools/t.h": "",
    "tests/x.cc": '#include "tools/t.h"\n#include "hwy/highway.h"\n',
}
# What is added to which file, and what the message must say.
PLANTED = [
    ("io/a.h", '#include "milepost/policy/p.h"', "io/a.h:2: io/ must not include policy/p.h"),
    ("policy/p.h", '#include "milepost/engine/items.h"', "policy/ must not include engine/items.h"),
    ("engine/state/s.h", '  #  include "milepost/engine/format/f.h"', "engine/state/ must not include engine/format/f.h"),
    ("engine/format/f.h", '#include "milepost/engine/save/w.h"', "engine/format/ must not include engine/save/w.h"),
    ("engine/save/w.h", '#include "milepost/engine/restore/r.h"', "engine/save/ must not include engine/restore/r.h"),
    ("engine/restore/r.h", '#include "milepost/engine/save/w.h"', "engine/restore/ must not include engine/save/w.h"),
    ("engine/restore/r.h", '#include "milepost/milepost.h"', "engine/restore/ must not include engine/milepost.h"),
    ("engine/manager.h", '#include "milepost/engine/federated/p.h"', "engine/ must not include engine/federated/p.h"),
    ("engine/manager.h", '#include "milepost/milepost.h"', "engine/ must not include engine/milepost.h"),
    ("engine/milepost.h", '#include "tools/t.h"', "engine/milepost.h must not include tools/t.h"),
    ("tools/t.h", '#include "tests/y.h"', "tools/ must not include tests/y.h"),
    ("tools/t.h", '#include "milepost/io/gone.h"', '"milepost/io/gone.h" is no file of this project'),
    ("tools/t.h", '#include "io/a.h"', 'is to be included as "milepost/io/a.h"'),
    ("tools/t.h", '#include "tools/t.h"', "headers in a circle: tools/t.h -> tools/t.h"),
    ("io/a.h", '#include "milepost/io/b.h"', "headers in a circle: io/a.h -> io/b.h -> io/a.h"),
]


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def self_test():
    extra = {"tests/y.h": "", "io/b.h": '#include "milepost/io/a.h"\n'}
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        write(root, GOOD | extra)
        count, problems = check(root)
        assert count == len(GOOD | extra) and not problems, problems
        for name, line, message in PLANTED:
            write(root, GOOD | extra | {name: (GOOD | extra)[name] + line + "\n"})
            problems = check(root)[1]
            assert any(message in problem for problem in problems), f"planted {line} in {name}: not found in {problems}"


def main():
    self_test()
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    count, problems = check(root)
    for problem in problems:
        print(problem)
    if problems or count < 20:
        sys.exit(f"layering: {len(problems)} violations in {count} files")
    print(f"layering: {count} files, includes go one way ({len(PLANTED)} planted violations were found)")


main()
