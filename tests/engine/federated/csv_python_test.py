#!/usr/bin/env python3
"""Files of releases, read by Python's own csv module (and gzip, bz2, lzma; zstd by its command, if there is one): every
cell is what Python prints.

Usage: csv_python_test.py RELEASE_ROWS
"""

import bz2
import csv
import gzip
import io
import lzma
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile


def random_bits():
    bits = 1
    for _ in range(3000):
        bits = (bits * 6364136223846793005 + 1442695040888963407) % 2**64
        yield bits


DOUBLES = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in random_bits()]
FLOATS = [struct.unpack("<f", struct.pack("<I", bits >> 32))[0] for bits in random_bits()]


def open_zstd(path, mode, encoding, newline):
    """Python has had no zstd before 3.14."""
    content = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return io.StringIO(content.decode(encoding), newline=newline)


def check_floats(cell):
    """Python has no floats of 32 bits: each text reads back as its number, and no shorter text does."""
    texts = cell.strip("[]").split(", ")
    assert len(texts) == len(FLOATS)
    for text, number in zip(texts, FLOATS):
        if number != number:
            assert text == "nan", text
            continue
        assert text == repr(float(text)), text
        if abs(number) == float("inf"):
            assert float(text) == number
            continue
        same = lambda value: abs(value) < 3.5e38 and struct.pack("<f", value) == struct.pack("<f", number)
        assert same(float(text)), (text, number)
        digits = len(text.split("e")[0].strip("-0").replace(".", "").strip("0"))
        if digits > 1:
            assert not same(float(f"{number:.{digits - 2}e}")), (text, number)


def check(rows):
    assert rows[0] == ["key", "doubles", "floats", "nested/0", "nested/1", "nested/2", "nested/3",
                       "bytes", "int", "te,xt", "uint", ""], rows[0]
    numbers, texts, scalar = rows[1:]
    assert numbers[:2] == ["-3", str(DOUBLES)]
    check_floats(numbers[2])
    assert numbers[3:] == [str(True), str(1e-7), str([]), "", "", "", "", "", ""], numbers[3:]
    assert texts == ["5", "", "", "", "", "", "", str(b"\x00'\xff"), str(-(2**63)),
                     "a,b \"c\"\r\nd\re\nü 東京 '", str(2**64 - 1), ""], texts
    assert scalar == ["6"] + [""] * 10 + ["0.5"], scalar


with tempfile.TemporaryDirectory() as directory:
    subprocess.run([sys.argv[1], directory], check=True)
    root = pathlib.Path(directory)
    contents = {}
    openers = {"a.csv": open, "w.csv": open, "w.csv.gz": gzip.open, "w.csv.bz2": bz2.open, "w.csv.xz": lzma.open,
               "w.csv.zst": open_zstd}
    if not shutil.which("zstd"):
        print("no command zstd: w.csv.zst is not read")
        del openers["w.csv.zst"]
        (root / "w.csv.zst").unlink()
    for name, opener in openers.items():
        with opener(root / name, "rt", encoding="utf-8", newline="") as file:
            contents[name] = file.read()
        check(list(csv.reader(io.StringIO(contents[name], newline=""))))
    assert len(set(contents.values())) == 1, "the same rows, the same bytes, whatever the mode"
    rewritten = root / "rewritten.csv"
    with open(root / "a.csv", encoding="utf-8", newline="") as source, open(rewritten, "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(csv.reader(source))
    assert rewritten.read_bytes() == (root / "a.csv").read_bytes(), "csv.writer writes the same bytes"
    assert sorted(path.name for path in root.iterdir()) == sorted([*contents, "rewritten.csv"])
