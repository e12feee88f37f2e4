#!/usr/bin/env python3
"""Does for a user what the README promises: installs milepost, builds the README's example against the installed
package without any change to it, and runs it, twice: the second run must resume where the first ended.

Usage: package_test.py BUILD_DIRECTORY CXX_COMPILER
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run(*command, **options):
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}\nexit status {result.returncode}")
    return result.stdout


def readme_example():
    programs = [
        block
        for block in re.findall(r"^```cpp\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        if "int main(" in block
    ]
    assert len(programs) == 1, f"README.md holds {len(programs)} complete programs, not one"
    return programs[0]


def main():
    build, compiler = pathlib.Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        prefix, project = temporary / "prefix", temporary / "project"
        run("cmake", "--install", build, "--prefix", prefix)
        for path in ("include/milepost/milepost.h", "include/milepost/engine/checkpoint_manager.h", "bin/milepost"):
            assert (prefix / path).is_file(), f"{path} was not installed"

        project.mkdir()
        shutil.copy(HERE / "CMakeLists.txt", project)
        (project / "main.cc").write_text(readme_example())
        configure = ["cmake", "-S", project, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Release"]
        run(*configure, "-B", temporary / "found", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", temporary / "found")
        # The same name must do for those who add milepost's directory to their project.
        run(*configure, "-B", temporary / "added", f"-DMILEPOST_SOURCE_DIR={ROOT}")

        first = run(temporary / "found/train", cwd=temporary)
        second = run(temporary / "found/train", cwd=temporary)
        print(first, second, sep="")
        assert "starting" in first and "resuming" not in first, first
        assert "resuming" in second, second
        steps = sorted(entry.name for entry in os.scandir(temporary / "checkpoints") if entry.name.isdigit())
        assert len(steps) == 3, f"checkpoints/ holds {steps}, not the 3 steps that the example keeps"
        listing = run(prefix / "bin/milepost", "ls", temporary / "checkpoints")
        assert all(re.search(rf"^\s*{step}\b", listing, re.MULTILINE) for step in steps), listing


main()
