#!/usr/bin/env python3
"""The example of items, in a fresh directory and again in the same.

Usage: items_test.py MILEPOST_ITEMS
"""

import pathlib
import re
import subprocess
import sys
import tempfile

with tempfile.TemporaryDirectory() as root:
    tokenizer = pathlib.Path(root) / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.txt").write_text("a b c")
    for step in (1, 2):
        run = subprocess.run([sys.argv[1], f"{root}/ckpts", tokenizer], stdout=subprocess.PIPE, text=True, check=True)
        expected = (
            rf"step {step}: config .*, loader at {step}000\n"
            r" +config +json .*\n +loader +example\.data_loader .*\n +model +tree .*\n +tokenizer +files .*\n"
        )
        if not re.fullmatch(expected, run.stdout):
            sys.exit(f"step {step} printed:\n{run.stdout}")
