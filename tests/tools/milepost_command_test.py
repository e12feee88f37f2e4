#!/usr/bin/env python3
"""The milepost command as people and scripts use it, on checkpoints that the library wrote.

Usage: milepost_command_test.py MILEPOST MAKE_CHECKPOINTS [unittest's arguments]
"""

import ctypes
import fcntl
import json
import os
import pathlib
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

MILEPOST, MAKE_CHECKPOINTS = sys.argv[1:3]
ESCAPE = "\x1b"


def milepost(*arguments, environment=None):
    return subprocess.run(
        [MILEPOST, *map(str, arguments)], capture_output=True, env=os.environ | (environment or {}), check=False
    )


def not_almighty():
    """Run before the command: permissions hold for root too."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; not permitted to others, who have none


def on_terminal(*arguments, environment=None, columns=100, answer=None):
    """Output and status of a run whose standard output is a terminal; with an answer, typed there, its input too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [MILEPOST, *map(str, arguments)],
        stdin=subprocess.DEVNULL if answer is None else theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(environment or {})},
    )
    os.close(theirs)
    if answer is not None:
        os.write(ours, answer.encode())
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        output += part
    os.close(ours)
    process.stderr.close()
    return output.decode().replace("\r\n", "\n"), process.wait()


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.temporary.name) / "ckpts"
        subprocess.run([MAKE_CHECKPOINTS, cls.root], check=True)
        cls.files = cls.listing(cls.root)

    @classmethod
    def tearDownClass(cls):
        # Whatever was asked: nothing was changed.
        assert cls.listing(cls.root) == cls.files
        cls.temporary.cleanup()

    @staticmethod
    def listing(root):
        return sorted((path.relative_to(root), path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*"))

    def text(self, *arguments, status=0):
        result = milepost(*arguments)
        self.assertEqual(result.returncode, status, result.stderr.decode())
        if status != 2:
            self.assertEqual(result.stderr, b"")
        output = result.stdout.decode()
        self.assertNotIn(ESCAPE, output)
        for line in output.splitlines():
            self.assertEqual(line, line.rstrip(), "trailing space")
        return output

    def json(self, *arguments, status=0):
        return json.loads(self.text(*arguments, "--json", status=status))

    def error(self, *arguments):
        result = milepost(*arguments)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, 2, message)
        self.assertEqual(result.stdout, b"")
        self.assertTrue(message.startswith("milepost: "), message)
        self.assertEqual(message.count("\n"), 1, message)
        return message

    def copy(self):
        """A copy to damage."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return pathlib.Path(shutil.copytree(self.root, pathlib.Path(directory.name) / "ckpts"))


class Ls(Checkpoints):
    def test_lists_steps(self):
        lines = self.text("ls", self.root).splitlines()
        self.assertEqual(lines[0].split(), "STEP AGE ITEMS STATE STORED RATIO FROZEN COMMIT METRICS".split())
        self.assertEqual([line.split()[0] for line in lines[1:4]], ["10", "20", "30"])
        self.assertIn("model, optimizer", lines[1])
        self.assertTrue(lines[1].endswith("accuracy=0.5  loss=3.25"), lines[1])
        self.assertTrue(lines[2].endswith("loss=nan"), lines[2])
        self.assertTrue(lines[4].startswith("3 steps, "), lines[4])
        self.assertTrue(all(len(line) <= 120 for line in lines), lines)

    def test_json(self):
        steps = self.json("ls", self.root)["steps"]
        self.assertEqual([step["step"] for step in steps], [10, 20, 30])
        self.assertEqual(steps[0]["metrics"], {"accuracy": 0.5, "loss": 3.25})
        self.assertEqual(steps[1]["metrics"]["loss"], "nan")
        self.assertEqual([item["name"] for item in steps[0]["items"]], ["model", "optimizer"])
        for step in steps:
            self.assertGreater(step["raw_bytes"], 9 << 20)
            on_disk = sum(path.stat().st_size for path in (self.root / str(step["step"])).rglob("*") if path.is_file())
            record = (self.root / str(step["step"]) / "step.json").stat().st_size
            self.assertEqual(step["stored_bytes"], on_disk - record)
        self.assertLess(steps[2]["stored_bytes"], steps[0]["stored_bytes"])

    def test_an_unreadable_step_hides_no_other(self):
        root = self.copy()
        (root / "20/step.json").write_text("{}")
        lines = self.text("ls", root, status=1).splitlines()
        self.assertEqual([line.split()[0] for line in lines[1:4]], ["10", "20", "30"])
        self.assertIn("step.json", lines[2])
        self.assertIn("1 cannot be read", lines[4])
        self.assertEqual(self.json("ls", root, status=1)["steps"][1]["error"]["code"], "corruption")

    def test_a_step_that_may_not_be_read_hides_no_other(self):
        root = self.copy()
        (root / "20/step.json").chmod(0)
        result = subprocess.run([MILEPOST, "ls", root], stdout=subprocess.PIPE, preexec_fn=not_almighty, check=False)
        lines = result.stdout.decode().splitlines()
        self.assertEqual([line.split()[0] for line in lines[1:4]], ["10", "20", "30"])
        self.assertIn("Permission denied", lines[2])
        self.assertIn("1 cannot be read", lines[4])
        self.assertEqual(result.returncode, 2)

    def test_steps_named_by_a_program(self):
        root = self.copy()
        for step in (10, 20, 30):
            (root / str(step)).rename(root / f"{step}.ckpt")
        message = self.error("ls", root)
        self.assertIn("holds steps named by a format of the program's own, such as", message)
        self.assertIn('0.ckpt": this command reads <prefix><number>', message)
        (root / "10.ckpt").rename(root / "0010")
        (root / "20.ckpt").rename(root / "00020")
        self.assertIn("padded to several lengths", self.error("plan", root, "--keep-latest", "1"))

    def test_no_error_steers_the_terminal(self):
        message = self.error("ls", f"/no{ESCAPE}[31m")
        self.assertNotIn(ESCAPE, message)
        self.assertIn("/no\\x1b[31m", message)

    def test_finds_prefixes(self):
        with tempfile.TemporaryDirectory() as root:
            subprocess.run([MAKE_CHECKPOINTS, root, "step_"], check=True)
            self.assertEqual([step["step"] for step in self.json("ls", root)["steps"]], [10, 20, 30])
            shutil.copytree(f"{root}/step_10", f"{root}/40")
            self.assertIn('--prefix: "", "step_"', self.error("ls", root))
            self.assertEqual(len(self.json("ls", root, "--prefix", "step_")["steps"]), 3)

    def test_directories_that_are_none_of_checkpoints(self):
        self.assertIn("No such file", self.error("ls", self.root / "gone"))
        self.assertIn("no directory of checkpoints", self.error("ls", "/usr/lib"))
        self.assertIn("is a step itself", self.error("ls", self.root / "10"))
        self.assertIn("ot a directory", self.error("ls", self.root / "10/step.json"))

    def test_colour_only_for_people(self):
        output, status = on_terminal("ls", self.root)
        self.assertEqual(status, 0)
        self.assertIn(ESCAPE + "[", output)
        self.assertNotIn(ESCAPE, on_terminal("ls", self.root, environment={"NO_COLOR": "1"})[0])
        self.assertNotIn(ESCAPE, on_terminal("ls", self.root, environment={"TERM": "dumb"})[0])
        plain = on_terminal("ls", self.root, environment={"NO_COLOR": "1"}, columns=80)[0].splitlines()
        self.assertTrue(all(len(line) <= 80 for line in plain), plain)


class Show(Checkpoints):
    def leaves(self, *arguments):
        document = self.json("show", self.root, *arguments)
        return {f"{item['name']}:{leaf['path']}": leaf for item in document["items"] for leaf in item["leaves"]}

    def test_the_tree(self):
        output = self.text("show", self.root)
        self.assertTrue(output.startswith("step 30  committed 20"), output)
        for expected in (r"  loss = 1.5", '{"run":"test"}', "codec zstd:1", r'"tiny\x1b[31m"', "64, 128", "BF16"):
            self.assertIn(expected, output)
        self.assertTrue(all(len(line) <= 120 for line in output.splitlines()), output)

    def test_json_says_what_was_saved(self):
        document = self.json("show", self.root, 10)
        self.assertEqual(document["step"], 10)
        self.assertEqual(document["custom_metadata"], {"run": "test"})
        leaves = self.leaves("10")
        self.assertEqual(leaves["model:big"]["shape"], [9, 1024, 1024])
        self.assertEqual(leaves["model:big"]["bytes"], 9 << 20)
        self.assertEqual(leaves["model:embedding"]["type"], "BF16")
        self.assertEqual(leaves["model:none"]["bytes"], 0)
        self.assertEqual(leaves["model:config/heads"]["value"], 8)
        self.assertIsNone(leaves["model:config/nothing"]["value"])
        self.assertEqual(leaves["model:config/text"]["type"], "string")
        for leaf in leaves.values():  # nothing is coded in this step
            self.assertEqual(leaf.get("stored_bytes_estimate", leaf["bytes"]), leaf["bytes"], leaf)
        self.assertEqual(len(leaves), 16)
        self.assertEqual([item["leaf_count"] for item in document["items"]], [14, 2])

    def test_estimates_add_up(self):
        for step in ("20", "30"):
            estimate = sum(leaf.get("stored_bytes_estimate", 0) for leaf in self.leaves(step).values())
            stored = sum(path.stat().st_size for path in (self.root / step).glob("*/data-*"))
            self.assertGreater(estimate, 0)
            self.assertLessEqual(estimate, stored)

    def test_parts(self):
        self.assertEqual(set(self.leaves("latest", "optimizer")), {"optimizer:m", "optimizer:cube"})
        self.assertEqual(
            set(self.leaves("--path", "layers/*/w", "--path", "cube")),
            {"model:layers/0/w", "model:layers/1/w", "model:cube", "optimizer:cube"},
        )
        shallow = self.text("show", self.root, "10", "model", "--depth", "1")
        self.assertIn("layers/", shallow)
        self.assertNotIn("64, 128", shallow)
        self.assertIn("2 leaves", shallow)
        self.assertIn("matches absent", self.error("show", self.root, "10", "--path", "absent"))
        self.assertIn("model", self.error("show", self.root, "10", "modell"))
        self.assertIn("the steps are 10, 20, 30", self.error("show", self.root, 11))
        self.assertIn("expected a number or latest", self.error("show", self.root, "-1x"))


    def test_damage_is_an_error(self):
        root = self.copy()
        (root / "20/model/chunks-0.bin").write_bytes(b"?")
        self.assertIn("20/model/chunks-0.bin", self.error("show", root, "20"))
        self.assertEqual(milepost("show", root, "20", "optimizer").returncode, 0)


class Verify(Checkpoints):
    def tensor_place(self, root, step, item, name):
        """Where a leaf lies in a step stored as it is, according to the safetensors header of its file."""
        (file,) = (root / str(step) / item).glob("data-*.safetensors")
        data = file.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        begin, end = json.loads(data[8 : 8 + length])[name]["data_offsets"]
        return file, 8 + length + begin, end - begin

    def flip(self, file, offset):
        with open(file, "r+b") as stream:
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 0x10]))

    def test_sound_steps(self):
        self.assertTrue(self.text("verify", self.root).startswith("step 30  ok  "))
        output = self.text("verify", self.root, "--all")
        self.assertEqual([line.split()[:3] for line in output.splitlines()[:3]], [["step", s, "ok"] for s in ("10", "20", "30")])
        self.assertTrue(output.endswith("all 3 steps are sound\n"))
        document = self.json("verify", self.root, "20", "latest")
        self.assertTrue(document["ok"])
        self.assertEqual([step["step"] for step in document["steps"]], [20, 30])

    def test_names_the_damaged_place(self):
        root = self.copy()
        file, begin, size = self.tensor_place(root, 10, "model", "big")
        place = begin + size // 2
        self.flip(file, place)
        document = self.json("verify", root, "--all", status=1)
        self.assertEqual([step["ok"] for step in document["steps"]], [False, True, True])
        (damage,) = document["steps"][0]["damage"]
        self.assertEqual(damage["file"], str(file.relative_to(root)))
        self.assertLessEqual(damage["offset"], place)
        self.assertGreater(damage["offset"] + damage["bytes"], place)
        self.assertLessEqual(damage["bytes"], 4 << 20)
        self.assertEqual(damage["leaves"], ["model: big"])
        self.assertEqual(damage["error"]["code"], "corruption")

        output = self.text("verify", root, "10", status=1)
        for expected in ("step 10  damaged", str(file.relative_to(root)), f"offset {damage['offset']},", "model: big"):
            self.assertIn(expected, output)

    def test_other_damage(self):
        def truncate(root):
            file, begin, size = self.tensor_place(root, 10, "optimizer", "m")
            os.truncate(file, begin + 8)

        changes = {
            "10/optimizer/data-0.safetensors": truncate,
            "10/step.json": lambda root: self.flip(root / "10/step.json", 300),
            "10/model/manifest.json": lambda root: self.flip(root / "10/model/manifest.json", 200),
            "10/model/chunks-0.bin": lambda root: self.flip(root / "10/model/chunks-0.bin", 70),
            "10/model/stranger": lambda root: (root / "10/model/stranger").write_text("?"),
        }
        for file, change in changes.items():
            with self.subTest(file=file):
                root = self.copy()
                change(root)
                document = self.json("verify", root, "10", status=1)
                said = " ".join((d["file"] or "") + " " + d["error"]["message"] for d in document["steps"][0]["damage"])
                self.assertIn(file, said)
                self.assertIn(file, self.text("verify", root, "10", status=1))

    def test_cannot_find_out(self):
        self.assertIn("holds no step 11", self.error("verify", self.root, "10", "11"))
        self.error("verify", self.root, "10", "--all")


class Cat(Checkpoints):
    def test_values(self):
        document = self.json("cat", self.root, 10, "layers/1/w", "--limit", 300)
        self.assertEqual(document["values"], [i * 0.25 for i in range(300)])
        self.assertTrue(document["truncated"])
        self.assertEqual((document["type"], document["shape"]), ("F32", [64, 128]))
        for step in (10, 20, 30):
            document = self.json("cat", self.root, step, "cube", "--item", "model")
            self.assertEqual(document["values"], [i - 30 for i in range(60)])
            self.assertFalse(document["truncated"])
        self.assertEqual(self.json("cat", self.root, "latest", "embedding", "--limit", "3")["values"], [1, 1.0078125, 1.015625])
        self.assertEqual(self.json("cat", self.root, "latest", "scalar")["values"], [0.25])
        self.assertEqual(self.json("cat", self.root, "latest", "none")["values"], [])
        self.assertEqual(self.json("cat", self.root, "latest", "m", "--limit", "5")["values"], [0, 0, 0, "nan", "-inf"])

    def test_text(self):
        lines = self.text("cat", self.root, 10, "cube", "--item", "model", "--limit", 7).splitlines()
        self.assertEqual(lines[0], "model: cube  I64[3, 4, 5]  480 B")
        self.assertEqual(lines[1].split("]")[0], "[0, 0, 0")
        self.assertEqual([int(value) for line in lines[1:-1] for value in line.split("]")[1].split()], list(range(-30, -23)))
        self.assertTrue(lines[-1].startswith("53 elements more"), lines[-1])

    def test_other_leaves(self):
        self.assertEqual(self.text("cat", self.root, 10, "config/heads"), "8\n")
        self.assertEqual(self.text("cat", self.root, 10, "config/dropout"), "0.1\n")
        self.assertEqual(self.text("cat", self.root, 10, "config/tied"), "true\n")
        self.assertEqual(self.text("cat", self.root, 10, "config/nothing"), "null\n")
        self.assertEqual(self.text("cat", self.root, 10, "config/name"), "tiny\\x1b[31m\n")
        self.assertEqual(self.text("cat", self.root, 10, "config/text"), "x" * 10000 + "\n")
        self.assertEqual(self.json("cat", self.root, 10, "config/blob")["value_hex"], "dead00")
        self.assertIn(" de ad 00", self.text("cat", self.root, 10, "config/blob"))

    def test_statistics(self):
        stats = self.json("cat", self.root, 20, "m", "--stats")["stats"]
        self.assertEqual((stats["count"], stats["zeros"], stats["nan"], stats["inf"]), (100, 48, 1, 1))
        self.assertEqual((stats["min"], stats["max"]), (0, 1))
        self.assertAlmostEqual(stats["mean"], 50 / 98)
        stats = self.json("cat", self.root, 20, "big", "--stats")["stats"]
        self.assertEqual((stats["min"], stats["max"], stats["count"]), (0, 250, 9 << 20))
        self.assertIn("nan    1 (1 %)", self.text("cat", self.root, 20, "m", "--stats"))

    def test_raw(self):
        for step in (10, 20, 30):
            raw = milepost("cat", self.root, step, "layers/0/w", "--raw").stdout
            self.assertEqual(raw, struct.pack("<8192f", *(i * 0.25 for i in range(8192))))
        self.assertEqual(milepost("cat", self.root, 30, "big", "--raw").stdout, bytes(i * 7 % 251 for i in range(9 << 20)))
        self.assertEqual(milepost("cat", self.root, 30, "config/blob", "--raw").stdout, b"\xde\xad\x00")
        self.assertEqual(on_terminal("cat", self.root, 30, "config/blob", "--raw"), ("", 2))

    def test_errors(self):
        self.assertIn("several items", self.error("cat", self.root, 10, "cube"))
        self.assertIn("such as layers/0/w", self.error("cat", self.root, 10, "layers"))
        self.assertIn("has no leaf nope", self.error("cat", self.root, 10, "nope"))
        self.assertIn("is no tensor", self.error("cat", self.root, 10, "config/heads", "--stats"))
        self.error("cat", self.root, 10, "m", "--stats", "--raw")

    def test_damage_is_an_error(self):
        root = self.copy()
        for file in (root / "30/model").glob("data-*"):
            file.write_bytes(bytes(file.stat().st_size))
        self.assertIn("data-0.bin", self.error("cat", root, 30, "layers/0/w"))


class Plan(Checkpoints):
    def plan(self, *arguments, root=None, status=0):
        """What is kept and what is removed, and the whole document."""
        document = self.json("plan", root or self.root, *arguments, status=status)
        steps = document["steps"]
        return [s["step"] for s in steps if s["keep"]], [s["step"] for s in steps if not s["keep"]], document

    def test_policies(self):
        for arguments, kept in {
            "--keep-latest 1": [30],
            "--keep-latest 9": [10, 20, 30],
            "--keep-best 1 --metric loss --mode min": [30],
            "--keep-best 1 --metric loss --mode max": [10, 30],  # nan is never best; the newest always stays
            "--keep-best 1 --metric accuracy --mode max": [30],  # a tie: the later one
            "--keep-best 3 --metric loss --mode max": [10, 20, 30],
            "--keep-every-steps 20": [20, 30],
            "--keep-every-duration 1h30m": [10, 30],
            "--keep-last-duration 2d": [10, 20, 30],
            "--keep-step 10": [10, 30],
            "--keep-step latest": [30],
            "--keep-step 10 --keep-step 20": [10, 20, 30],
            "--keep-latest 1 --keep-every-steps 10": [10, 20, 30],
            "--keep-latest 1 --keep-best 1 --metric loss --mode max --keep-without-metrics": [10, 30],
        }.items():
            with self.subTest(arguments=arguments):
                found, removed, document = self.plan(*arguments.split())
                self.assertEqual(found, kept)
                self.assertEqual(sorted(found + removed), [10, 20, 30])
                self.assertEqual((document["keeps"], document["removes"]), (len(found), len(removed)))
                self.assertTrue(all(step["reason"] for step in document["steps"]))

    def test_says_what_it_frees(self):
        _, removed, document = self.plan("--keep-latest", "2", "--keep-best", "1", "--metric", "loss", "--mode", "min")
        self.assertEqual(removed, [10])
        stored = {step["step"]: step["stored_bytes"] for step in self.json("ls", self.root)["steps"]}
        self.assertEqual(document["frees_bytes"], stored[10])
        self.assertEqual(document["keeps_bytes"], stored[20] + stored[30])
        steps = document["steps"]
        self.assertEqual([step["metric"] for step in steps], [3.25, "nan", 1.5])
        self.assertEqual(steps[0]["reason"], "older than the latest 2; number 2, beyond the best 1 (3.25)")
        self.assertEqual(steps[2]["reason"], "among the latest 2; number 1 of the best 1 (1.5)")

    def test_text(self):
        lines = self.text("plan", self.root, "--keep-best", 1, "--metric", "loss", "--mode", "min").splitlines()
        self.assertEqual(lines[0].split(), ["STEP", "AGE", "loss", "FREES", "PLAN", "REASON"])
        self.assertRegex(lines[1], r"^ +10 .* 3\.25 +9\.\d+ MiB  remove  number 2, beyond the best 1 \(3\.25\)$")
        self.assertRegex(lines[3], r"^ +30 .* 1\.5 +keep    number 1 of the best 1 \(1\.5\)$")
        self.assertRegex(lines[4], r"^keeps 1 step, .*; removes 2 steps and frees 9\.\d+ MiB$")
        self.assertEqual(len(lines), 5)
        self.assertTrue(self.text("plan", self.root, "--keep-latest", 3).endswith("; there is nothing to remove\n"))

    def test_teaches_what_is_missing(self):
        for arguments, message in {
            "": "say what to keep, such as --keep-latest 5",
            "--drop-without-metrics": "add --keep-best N",
            "--metric loss": "add --keep-best N",
            "--keep-best 1": "needs --metric NAME; the steps have: accuracy, loss",
            "--keep-best 1 --metric loss": "needs --mode min, where less is better",
            "--keep-best 1 --metric lose --mode min": 'no step has "lose"; the steps have: accuracy, loss',
            "--keep-best 1 --metric loss --mode least": "--mode",
            "--keep-latest 0": "0 is no whole number of at least 1",
            "--keep-latest -3": "-3 is no whole number of at least 1",
            "--keep-latest 1.5": "1.5 is no whole number of at least 1",
            "--keep-latest many": "many is no whole number of at least 1",
            "--keep-every-duration 1x": '"1x" is no duration: say 90s, 30m, 1h30m or 7d',
            "--keep-last-duration -1h": "--keep-last-duration",
            "--keep-step 11": "the steps are 10, 20, 30",
        }.items():
            for command in ("plan", "prune"):
                with self.subTest(command=command, arguments=arguments):
                    yes = ["--yes"] if command == "prune" else []
                    self.assertIn(message, self.error(command, self.root, *arguments.split(), *yes))

    def test_a_damaged_step_is_kept_beside_the_newest_sound_one(self):
        root = self.copy()
        (root / "30/step.json").write_text("{}")
        kept, removed, document = self.plan("--keep-latest", "1", root=root, status=1)
        self.assertEqual((kept, removed), ([20, 30], [10]))
        self.assertEqual(document["steps"][2]["error"]["code"], "corruption")
        self.assertIn("keep, for it cannot be read", self.text("plan", root, "--keep-latest", 1, status=1))
        shutil.copytree(root / "10", root / "40")
        self.assertIn("40/step.json: is the record of step 10", self.text("plan", root, "--keep-latest", 1, status=1))

    def test_fits_the_terminal(self):
        output, status = on_terminal("plan", self.root, "--keep-latest", 1, environment={"NO_COLOR": "1"}, columns=40)
        self.assertEqual(status, 0)
        self.assertTrue(all(len(line) <= 40 for line in output.splitlines()[:-1]), output)
        self.assertEqual(output.count("\n  older than the latest 1\n"), 2, output)
        self.assertIn(ESCAPE + "[", on_terminal("plan", self.root, "--keep-latest", 1)[0])


class Prune(Checkpoints):
    def steps(self, root):
        return [step["step"] for step in self.json("ls", root)["steps"]]

    def test_removes_what_the_plan_said(self):
        root = self.copy()
        (root / "notes").mkdir()  # somebody else's
        (root / ".tmp-40-00000000-0000-4000-8000-000000000000").mkdir()  # being saved, for all we know
        shutil.copytree(root / "10", root / ".trash-5-00000000-0000-4000-8000-000000000000")  # of a prune that was killed
        output = self.text("prune", root, "--keep-latest", 2, "--yes")
        self.assertRegex(output, r"  10 .* remove  older than the latest 2\n")
        self.assertRegex(output, r"\nremoved 1 step, freed 9\.\d+ MiB\n$")
        names = {"20", "30", "milepost.json", "notes", ".tmp-40-00000000-0000-4000-8000-000000000000"}
        self.assertEqual({path.name for path in root.iterdir()}, names)
        self.text("verify", root, "--all")
        self.assertTrue(self.text("prune", root, "--keep-latest", 2, "--yes").endswith("; there is nothing to remove\n"))
        self.assertEqual(self.steps(root), [20, 30])

    def test_json(self):
        root = self.copy()
        stored = self.json("ls", root)["steps"][1]["stored_bytes"]
        document = self.json("prune", root, "--keep-step", "10", "--yes")
        self.assertEqual([step["removed"] for step in document["steps"]], [False, True, False])
        self.assertEqual((document["removed"], document["in_use"], document["freed_bytes"]), (1, 0, stored))
        self.assertEqual(self.steps(root), [10, 30])

    def test_needs_somebody_to_ask_or_yes(self):
        message = "there is nobody to ask: look at milepost plan with the same options, then add --yes"
        for arguments in ([], ["--json"]):
            self.assertIn(message, self.error("prune", self.root, "--keep-latest", 1, *arguments))
        output, status = on_terminal("prune", self.root, "--keep-latest", 1)  # its input is no terminal
        self.assertEqual((output, status), ("", 2))
        self.assertEqual(on_terminal("prune", self.root, "--keep-latest", 1, "--json", answer="y\n")[1], 2)

    def test_asks(self):
        for answer in ("n\n", "\n", "yesterday\n", "\x04"):
            output, status = on_terminal("prune", self.root, "--keep-latest", 1, answer=answer)
            self.assertEqual(status, 1, answer)
            self.assertIn("Remove 2 steps, 9.1", output)
            line_end = "\n" if answer == "\x04" else ""  # nobody pressed return
            self.assertTrue(output.endswith(f"[y/N] {line_end}nothing was removed\n"), output)
        for answer in ("y\n", "yes\n"):
            root = self.copy()
            output, status = on_terminal("prune", root, "--keep-latest", 1, answer=answer, environment={"NO_COLOR": "1"})
            self.assertEqual(status, 0, output)
            self.assertIn("removed 2 steps, freed 9.1", output)
            self.assertEqual(self.steps(root), [30])
        output, status = on_terminal("prune", root, "--keep-latest", 1, answer="")  # nothing to ask
        self.assertEqual(status, 0)
        self.assertNotIn("[y/N]", output)

    def test_what_came_to_be_wanted_while_it_asked_stays(self):
        root = self.copy()
        ours, theirs = pty.openpty()
        process = subprocess.Popen([MILEPOST, "prune", root, "--keep-latest", "1"], stdin=theirs, stdout=theirs)
        os.close(theirs)
        output = b""
        while b"[y/N]" not in output:
            output += os.read(ours, 65536)
        shutil.rmtree(root / "30")  # so 20 is the newest now
        os.write(ours, b"y\n")
        while True:
            try:
                output += os.read(ours, 65536)
            except OSError:
                break
        os.close(ours)
        self.assertEqual(process.wait(), 0)
        self.assertIn(b"removed 1 step, ", output)
        self.assertEqual(self.steps(root), [20])

    def test_a_step_in_use_is_not_touched(self):
        root = self.copy()
        before = self.listing(root / "10")
        reader = os.open(root / "10", os.O_RDONLY)
        fcntl.flock(reader, fcntl.LOCK_SH)
        output = self.text("prune", root, "--keep-latest", 1, "--yes", status=1)
        self.assertIn("step 10  somebody has it open; it was not touched\nremoved 1 step, ", output)
        self.assertEqual(self.listing(root / "10"), before)
        document = self.json("prune", root, "--keep-latest", 1, "--yes", status=1)
        self.assertEqual((document["removed"], document["in_use"], document["freed_bytes"]), (0, 1, 0))
        self.assertTrue(document["steps"][0]["in_use"])
        os.close(reader)  # as when the reader dies
        self.text("prune", root, "--keep-latest", 1, "--yes")
        self.assertEqual(self.steps(root), [30])

    def test_damaged_steps_stay(self):
        root = self.copy()
        (root / "30/step.json").write_text("{}")
        output = self.text("prune", root, "--keep-latest", 1, "--yes", status=1)
        self.assertIn("removed 1 step", output)
        self.assertEqual([step["step"] for step in self.json("ls", root, status=1)["steps"]], [20, 30])


class Help(unittest.TestCase):
    def test_teaches(self):
        for command in ((), ("ls",), ("show",), ("verify",), ("cat",), ("plan",), ("prune",)):
            result = milepost(*command, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            text = result.stdout.decode()
            self.assertIn("Examples:\n  milepost " + " ".join(command), text)
            self.assertTrue(all(len(line) <= 100 for line in text.splitlines()), text)

    def test_complains_in_one_line(self):
        for arguments in (["frob"], ["ls"], ["ls", "/", "--frob"], ["cat", "/", "1", "p", "--limit", "-1"]):
            result = milepost(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, b""), arguments)
            message = result.stderr.decode()
            self.assertTrue(message.startswith("milepost: ") and message.count("\n") == 1, message)
        self.assertEqual(milepost().returncode, 2)
        self.assertRegex(milepost("--version").stdout.decode(), r"^milepost \d+\.\d+\.\d+ \(format 1\.\d+\)\n$")

    def test_a_full_disk_is_no_success(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([MILEPOST, "--version"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 2, result)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
