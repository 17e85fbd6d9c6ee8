#!/usr/bin/env python3
"""The program simulate as its user meets it: what it says, writes and refuses.

usage: simulate_test.py TANDEM SIMULATE      the launcher and the program
"""
import json, pathlib, resource, subprocess, sys, tempfile, time, unittest
import xml.etree.ElementTree as xml

TANDEM, SIMULATE = sys.argv[1:3]
COSTS = ["--stages", 4, "--micro-batches", 8, "--forward", 3, "--backward", 6, "--latency", 1]


class Simulate(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tandem-simulate.")
        self.addCleanup(self.folder.cleanup)
        self.tmp = pathlib.Path(self.folder.name)

    def run_it(self, *arguments):
        return subprocess.run([TANDEM, "run", "-n", "1", SIMULATE, *map(str, arguments)], capture_output=True, text=True, timeout=120)

    def result(self, *arguments):
        out = self.tmp / "result.json"
        done = self.run_it(*arguments, "--json", out)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(out.read_text())

    def refuse(self, status, words, *arguments):
        done = self.run_it(*arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)

    def test_an_example_that_was_drawn_by_hand(self):
        got = self.result("--schedule", "1f1b", *COSTS)
        # 4 forwards and 3 latencies to the last rank; there and back for every second micro-batch, since at most 4 are on their way.
        self.assertEqual(got["makespan"], 115)
        self.assertAlmostEqual(got["bubble_of_total"], 1 - 8 * 9 / 115)
        self.assertAlmostEqual(got["bubble_of_ideal"], (115 - 8 * 9) / (8 * 9))
        self.assertEqual(got["live"], [4, 3, 2, 1])
        self.assertEqual(got["messages"], 2 * 8 * 3)
        gpipe = self.result("--schedule", "gpipe", *COSTS)
        self.assertEqual((gpipe["makespan"], gpipe["live"]), ((8 + 3) * 9 + 2 * 3, [8] * 4))

    def test_options_of_costs(self):
        base = ["--stages", 2, "--micro-batches", 1]
        makespan = lambda *more: self.result(*base, *more)["makespan"]
        self.assertEqual(makespan(), 6)
        self.assertEqual(makespan("--forward", "3,1", "--backward", "2,7"), 13)
        self.assertEqual(makespan("--backward-input", 5, "--backward-weight", 0.5), 2 * (1 + 5.5))
        self.assertEqual(makespan("--recompute"), 8)
        self.assertEqual(makespan("--busy", 0.25), 6.5)
        self.assertEqual(makespan("--reduce", 4, "--update", 2), 12)
        # Chunks of half the size: the makespan of (m + (p-1)/v) (t_F + t_B).
        self.assertEqual(self.result("--schedule", "interleaved")["makespan"], (8 + 3 / 2) * 3)

    def test_every_file_it_writes_can_be_read(self):
        csv, svg, trace = (self.tmp / name for name in ("s.csv", "s.svg", "s.json"))
        first = self.result("--schedule", "zb-h1", *COSTS, "--csv", csv, "--draw", svg, "--trace", trace)
        again = self.result("--schedule-file", csv, *COSTS[4:])
        self.assertEqual([first[k] for k in ("makespan", "live", "messages")], [again[k] for k in ("makespan", "live", "messages")])
        title = "{http://www.w3.org/2000/svg}title"
        self.assertEqual(len(list(xml.parse(svg).iter(title))), 3 * 8 * 4)  # F, I and W
        boxes = [e for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
        self.assertEqual(len(boxes), 3 * 8 * 4)
        self.assertEqual(max(e["ts"] + e["dur"] for e in boxes), 1000 * first["makespan"])
        self.assertEqual(self.result("--csv", csv, "--transfers")["messages"], csv.read_text().count("SEND"))
        self.assertEqual(self.result("--schedule-file", csv)["makespan"], 33)

    def test_all(self):
        rows = self.result("--schedule", "all")["schedules"]
        self.assertEqual([r["schedule"] for r in rows], ["naive", "gpipe", "1f1b", "interleaved", "zb-h1"])
        self.assertEqual([r["makespan"] for r in rows], [96, 33, 33, 28.5, 27])

    def test_the_picture_in_the_terminal(self):
        done = self.run_it("--stages", 2, "--micro-batches", 2, "--width", 40)
        self.assertIn("rank 0 |F0-F1-......B0====...B1====\nrank 1 |...F0-B0====F1-B1====......\nmakespan 9, idle 33.3 %\n", done.stdout)

    def test_refusals(self):
        bad = self.tmp / "bad.csv"
        for text, words in {"1048575F1048575\n": "1 actions for 1048576 stages", "0F0,0B0\n1F0\n": "1B0 is missing", "0F0,0X0\n": "line 1, cell 2", "": "no action",
                            "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n": "deadlock"}.items():
            bad.write_text(text)
            self.refuse(1, words, "--schedule-file", bad)
        self.refuse(1, "No such file", "--schedule-file", self.tmp / "none.csv")
        self.refuse(1, "No such file", "--json", self.tmp / "none" / "r.json")
        bad.write_text("0F0,0B0\n")
        self.refuse(2, "the schedule file says how many", "--schedule-file", bad, "--stages", 2)
        self.refuse(2, "there is no schedule '2f2b'", "--schedule", "2f2b")
        self.refuse(2, "--forward has 3 values for 4 stages", "--forward", "1,2,3")
        self.refuse(2, "--forward", "--forward", -1)
        self.refuse(2, "pairs", "--stages", 65536, "--micro-batches", 65536)
        self.refuse(2, "the most that makes sense", "--stages", 512, "--micro-batches", 512, "--draw", self.tmp / "s.svg")
        self.assertFalse((self.tmp / "s.svg").exists())

    def test_4096_ranks_and_1024_micro_batches(self):
        begin = time.monotonic()
        got = self.result("--stages", 4096, "--micro-batches", 1024)
        self.assertEqual(got["makespan"], (1024 + 4095) * 3)
        self.assertLess(time.monotonic() - begin, 30)  # 1 s on one idle core; this test shares it, and sanitizers cost
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 2 << 20)  # KB


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
