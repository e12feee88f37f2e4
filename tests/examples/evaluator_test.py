#!/usr/bin/env python3
"""A trainer and an evaluator as two processes: the evaluator starts first, on a directory that is not there yet,
and sees every checkpoint that the trainer commits.

Usage: evaluator_test.py MAIN_JOB EVALUATOR [unittest's arguments]
"""

import math
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

MAIN_JOB, EVALUATOR = sys.argv[1:3]
LINE = re.compile(r"step +(\d+)   held-out loss ([\d.]+)   training loss ([\d.]+)   (-?[\d.]+) s after its commit")


class Evaluator(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = pathlib.Path(temporary.name)
        self.corpus = self.root / "corpus.txt"
        self.corpus.write_text("the quick brown fox jumps over the lazy dog\n" * 2000)

    def evaluator(self, directory, *arguments):
        command = [EVALUATOR, directory, "--corpus", self.corpus, "--batches", "1", *arguments]
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(process.kill)
        return process

    def test_follows_a_trainer_in_another_process(self):
        directory = self.root / "run"
        process = self.evaluator(directory, "--every", "--last-step", "6", "--timeout", "300")
        subprocess.run(
            [MAIN_JOB, "--train-only", "--steps", "12", "--save-every", "2", "--corpus", self.corpus, directory],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        losses = self.losses(process)
        steps = list(losses)
        self.assertEqual(steps, sorted(steps))
        self.assertLessEqual(set(steps), {1, *range(2, 13, 2)})  # the first step is always saved
        self.assertGreaterEqual(steps[-1], 6)
        # Untrained weights would know nothing: the logarithm of the vocabulary.
        self.assertLess(losses[steps[-1]], math.log(len(set(self.corpus.read_text()))) - 0.1)
        if len(steps) > 1:
            self.assertLess(losses[steps[-1]], losses[steps[0]])

        again = self.losses(self.evaluator(directory, "--every", "--timeout", "0"))
        self.assertEqual(list(again)[-1], 12)
        for step in again.keys() & losses.keys():
            self.assertEqual(again[step], losses[step])

    def losses(self, process):
        """What it printed, by step."""
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 0, errors)
        found = [LINE.fullmatch(line) for line in output.splitlines()]
        self.assertTrue(found and all(found), output)
        self.assertTrue(all(float(match[4]) >= 0 for match in found), output)
        return {int(match[1]): float(match[2]) for match in found}

    def test_says_when_the_run_ends_early_or_is_none(self):
        process = self.evaluator(self.root / "none", "--timeout", "0")
        self.assertEqual(process.communicate(), ("", ""))
        self.assertEqual(process.returncode, 0)
        process = self.evaluator(self.root / "none", "--timeout", "0", "--last-step", "6")
        self.assertIn("step 6 was not reached", process.communicate()[1])
        self.assertEqual(process.returncode, 1)
        process = self.evaluator(self.corpus)
        self.assertIn("Not a directory", process.communicate()[1])
        self.assertEqual(process.returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
