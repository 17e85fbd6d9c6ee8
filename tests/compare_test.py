#!/usr/bin/env python3
"""What compare promises to scripts and to people: one row a scheme with all its fields, equal weights where the scheme promises them."""

import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TANDEM, PROGRAMS = map(pathlib.Path, sys.argv[1:3])

FIELDS = {"scheme", "grid", "ranks", "micro_batches", "step_ms", "predicted_ms", "images_per_second", "speedup", "idle_share", "bytes", "messages",
          "peak_activation_bytes", "parameter_bytes", "weights_hash"}
SCHEMES = ["serial", "serial recompute", "data=2", "data=2 shard=2", "pipeline=2 gpipe", "pipeline=2 zb-h1", "pipeline=2 interleaved v=2"]
QUICK = ["--model", "shallow", "--batch", "8", "--micro-batches", "4", "--rounds", "1", "--seconds", "0.001"]


def compare(*arguments, ranks=2):
    command = [str(TANDEM), "run", "-n", str(ranks), "--threads", "1", str(PROGRAMS / "compare"), *QUICK, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_rows_table_and_page(self):
        paths = {kind: self.folder / f"schemes.{kind}" for kind in ("json", "csv", "html")}
        run = compare("--schemes", "; ".join(SCHEMES), *(text for kind, path in paths.items() for text in (f"--{kind}", str(path))))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        rows = json.loads(paths["json"].read_text())["rows"]
        self.assertEqual([row["scheme"] for row in rows], SCHEMES)
        for row in rows:
            self.assertLessEqual(FIELDS, row.keys())
            self.assertRegex(row["weights_hash"], "^[0-9a-f]{16}$")
            self.assertGreater(row["step_ms"], 0)
            self.assertGreater(row["predicted_ms"], 0)
        self.assertEqual(len({row["weights_hash"] for row in rows}), 1, "all of these promise the serial bits")
        by_name = {row["scheme"]: row for row in rows}
        self.assertEqual(by_name["serial"]["messages"], 0)
        # 2 (p-1) m of the pipeline, and the totals of the batch to the first stage.
        self.assertEqual(by_name["pipeline=2 gpipe"]["messages"], 2 * 4 + 1)
        for row in rows:
            if "shard" not in row["scheme"]:
                self.assertEqual(row["messages"], row["predicted_messages"], row["scheme"])
                self.assertEqual(row["bytes"], row["predicted_bytes"], row["scheme"])
        with paths["csv"].open() as file:
            self.assertEqual([row["scheme"] for row in csv.DictReader(file)], SCHEMES)
        page = paths["html"].read_text()
        for scheme in SCHEMES:
            self.assertIn(scheme, page)
        self.assertNotIn("NOT equal", page)
        self.assertIsNone(re.search(r'(src|href)="http', page), "the page needs nothing from outside")

    def test_another_m_gives_other_bits(self):
        path = self.folder / "m.json"
        run = compare("--schemes", "serial; serial m=2", "--json", str(path))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(len({row["weights_hash"] for row in json.loads(path.read_text())["rows"]}), 2)

    def test_fewer_ranks_than_there_are(self):
        path = self.folder / "one.json"
        run = compare("--ranks", "1", "--json", str(path))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual({row["ranks"] for row in json.loads(path.read_text())["rows"]}, {1})

    def test_wrong_wishes_are_refused(self):
        for arguments, words in [(["--schemes", "pipeline=4 gpipe"], "takes 4 ranks, and there are 2"),
                                 (["--schemes", "pipeline=2 2f2b"], "2f2b"),
                                 (["--ranks", "3"], "--ranks 3: there are 2"),
                                 (["--html", "/nowhere/page.html"], "/nowhere")]:
            run = compare(*arguments)
            self.assertEqual(run.returncode, 2 if "nowhere" not in words else 1, run.stderr)
            self.assertIn(words, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
