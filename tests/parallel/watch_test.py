#!/usr/bin/env python3
"""What `tandem run --watch` says about programs that hang (watch/hangs.cpp), how soon, and that it is silent about those that do not.

watch_test.py HANGS FAILING_RANK [UNITTEST ARGUMENTS...]

All programs run first, a few at once; then the tests look at what came out. The times allowed are those promised, times
TANDEM_TEST_PATIENCE (default 3), since other work, not least the other programs, use the machine."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
TANDEM = HERE.parent.parent / "tandem"
HANGS, FAILING_RANK = sys.argv.pop(1), sys.argv.pop(1)
PATIENCE = float(os.environ.get("TANDEM_TEST_PATIENCE", 3))
FOUND = 123           # the exit code
FOUND_WITHIN = 4      # seconds
AT_ONCE = 12          # programs; most of them wait

HANGING = {  # name: ranks, kind, what each rank does (regular expression) and where, words of the explanation
    "recv_recv": (2, "cycle", {0: ("MPI_Recv from rank 1, tag 3, 4 bytes", "recv"), 1: ("MPI_Recv from rank 0, tag 3, 4 bytes", "recv")},
                  "rank 0 waits for rank 1, rank 1 waits for rank 0. All of them receive before any sends."),
    "recv_recv_other_tags": (2, "cycle", {0: ("MPI_Recv from rank 1, tag 7", "recv"), 1: ("MPI_Recv from rank 0, tag 3", "recv")},
                             "The tags differ, too: 3, 7"),
    "three": (3, "cycle", {r: (f"MPI_Recv from rank {(r + 1) % 3}, tag 3", "recv") for r in range(3)},
              "rank 0 waits for rank 1, rank 1 waits for rank 2, rank 2 waits for rank 0"),
    "two_of_three": (3, "cycle", {0: ("MPI_Recv from rank 1", "recv"), 1: ("MPI_Recv from rank 0", "recv"), 2: ("computes", None)},
                     "rank 0 waits for rank 1, rank 1 waits for rank 0"),
    "send_send": (2, "cycle", {0: ("MPI_Send to rank 1, tag 5, 1048576 bytes", "large"), 1: ("MPI_Send to rank 0, tag 5", "large")},
                  "All of them send before any receives"),
    "short_send_send --strict": (2, "cycle", {0: ("MPI_Send to rank 1, tag 4, 4 bytes", "send"), 1: ("MPI_Send to rank 0", "send")},
                                 "All of them send before any receives"),
    "recv_recv --strict": (2, "cycle", {0: ("MPI_Recv from rank 1, tag 3", "recv"), 1: ("MPI_Recv from rank 0", "recv")}, "receive"),
    "wrong_tag --strict": (2, "tag_mismatch", {0: ("MPI_Recv from rank 1, tag 3", "recv"), 1: ("MPI_Send to rank 0, tag 7", "send")},
                           "A tag mismatch"),
    "wrong_tag": (2, "tag_mismatch", {0: ("MPI_Recv from rank 1, tag 3", "recv"), 1: ("has finished", None)},
                  "rank 0 waits for a message of rank 1 with tag 3, but the one that rank 1 has sent has tag 7"),
    "wrong_tag_large": (2, "tag_mismatch", {0: ("MPI_Recv from rank 1, tag 3", "recv"), 1: ("MPI_Send to rank 0, tag 5", "large")},
                        "with tag 3, but the one that rank 1 has sent has tag 5"),
    "sendrecv": (2, "tag_mismatch", {r: (f"MPI_Sendrecv to rank {1 - r}, tag 1, 4 bytes and MPI_Sendrecv from rank {1 - r}, tag 2",
                                         "sendrecv") for r in range(2)}, "with tag 2, but the one that rank 1 has sent has tag 1"),
    "wrong_communicator": (2, "communicator_mismatch", {0: ("MPI_Recv from rank 1, .* in a communicator of ranks 0 1", "copy")},
                           "rank 1, which has sent one with tag 0 on another communicator"),
    "mismatched": (3, "mismatched_collective", {0: ("MPI_Bcast, .*root 1, 8 bytes", "bcast"), 1: ("MPI_Allreduce, .*8 bytes", "allreduce"),
                                                2: ("MPI_Allreduce", "allreduce")},
                   "different calls: the 1st collective call on MPI_COMM_WORLD is MPI_Bcast with root 1 of 8 bytes on rank 0, but "
                   "MPI_Allreduce of 8 bytes on rank 1"),
    "wrong_root": (2, "mismatched_collective", {0: ("MPI_Bcast, .*root 1", "root"), 1: ("MPI_Bcast, .*root 0", "root")}, "different roots"),
    "other_communicator": (2, "mismatched_collective", {0: ("MPI_Barrier, .*in communicator 'a'", "one of two"),
                                                        1: ("MPI_Barrier, .*in communicator 'b'", "one of two")},
                           "different communicators"),
    "early_finalize": (2, "early_exit", {0: ("MPI_Recv from rank 1, tag 3", "recv"), 1: (r"has finished \(MPI_Finalize\)", None)},
                       r"rank 1 has finished \(MPI_Finalize\) while rank 0 waits for it in MPI_Recv"),
    "early_exit": (2, "early_exit", {0: ("MPI_Recv from rank 1, tag 3", "recv"), 1: ("has left the program without MPI_Finalize", None)},
                   "rank 1 has left the program"),
    "throws_and_catches": (2, "early_exit", {0: ("MPI_Recv from rank 1", "recv"), 1: ("has finished", None)}, "An early exit: rank 1"),
    "unequal_steps": (2, "unequal_counts", {0: ("MPI_Allreduce, collective call 11", "step"), 1: ("has finished", None)},
                      r"rank 0 is in its 11th collective call \(MPI_Allreduce\), rank 1 has finished .* after 10"),
    "nobody_sends": (2, "cycle", {0: ("MPI_Waitall for MPI_Irecv from rank 1, tag 1, 4 bytes and MPI_Irecv from", "all"),
                                  1: ("MPI_Barrier", "barrier")}, "each in another kind of call"),
    "test_loop": (2, "cycle", {r: (f"MPI_Test again and again for MPI_Irecv from rank {1 - r}, tag 2", "test") for r in range(2)},
                  "All of them receive"),
    "any_source": (2, "cycle", {0: ("MPI_Recv from any rank, any tag", "recv"), 1: ("MPI_Barrier", "after any")}, "another kind of call"),
    "pending_ibarrier": (2, "cycle", {0: ("MPI_Wait for MPI_Ibarrier", "ibarrier"), 1: ("MPI_Recv from rank 0", "recv")}, "rank 1"),
    "threads_allowed": (2, "cycle", {0: ("MPI_Recv from rank 1", "recv"), 1: ("MPI_Recv from rank 0", "recv")}, "receive"),
    "ring": (3, "early_exit", {0: ("has finished", None), 1: ("MPI_Test again and again for MPI_I", "ring")}, "rank 0 has finished"),
    "window": (3, "mismatched_collective", {0: ("MPI_Barrier", "barrier beside the window"),
                                            1: ("the shared window's barrier, round 1: rank 0 has not come", "window")},
               "rank 0 waits for rank 1, rank 1 waits for rank 0"),
}
QUIET = ["one_computes 10", "one_sleeps 4", "asks_and_sleeps 4", "computes_and_asks 4", "asks_then_computes 4",
         "slow_ping_pong", "short_send_send", "threads"]


def run(program, *words, ranks=2):
    """(exit code, stdout, stderr, report as JSON or None, when it ended)"""
    options = [word for word in words if word.startswith("--")]
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        result = subprocess.run([TANDEM, "run", "-n", str(ranks), "--watch", *options, program, *(w for w in words if w not in options)],
                                text=True, capture_output=True, timeout=100, 
                                env={**os.environ, "TANDEM_WATCH_JSON": str(report), "OMPI_MCA_mpi_yield_when_idle": "1"})
        found = json.loads(report.read_text()) if report.exists() else None
        return result.returncode, result.stdout, result.stderr, found, time.time()


def line(file, mark):
    """The number of the line that bears this mark."""
    lines = (HERE / "watch" / file).read_text().splitlines()
    return 1 + next(i for i, text in enumerate(lines) if re.search(rf"waits: {mark}( \*/)?$", text))


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        start = lambda name, ranks=2: pool.submit(run, HANGS, *name.split(), ranks=ranks)
        cls.jobs = {name: start(name) for name in QUIET}  # first those that take longest
        cls.jobs |= {name: start(name, ranks) for name, (ranks, *_) in HANGING.items()}
        cls.jobs |= {"throws": start("throws"), "failing": pool.submit(run, FAILING_RANK, "one", ranks=3)}
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        if shutil.which("mpicc"):
            for name, flags in (("raw -g", ["-g"]), ("raw", ["-O2", "-fno-inline", "-fno-optimize-sibling-calls"])):
                program = f"{cls.folder.name}/{name.replace(' ', '')}"
                subprocess.run(["mpicc", *flags, HERE / "watch/raw.c", "-o", program], check=True)
                cls.jobs[name] = pool.submit(run, program, ranks=3)

    def test_a_hang_is_found_with_the_right_words(self):
        for name, (ranks, kind, doing, words) in HANGING.items():
            with self.subTest(name):
                code, out, err, report, ended = self.jobs[name].result()
                self.assertEqual((code, report and report["kind"]), (FOUND, kind), err)
                self.assertRegex(report["what"] + report["advice"], words)
                for rank, (what, mark) in doing.items():
                    entry = report["ranks"][rank]
                    self.assertRegex(entry["what"], what)
                    if mark:
                        self.assertEqual((pathlib.Path(entry["file"]).name, entry["line"]), ("hangs.cpp", line("hangs.cpp", mark)))
                self.assertIn(report["text"], err)
                self.assertLess(ended - float(out.split()[0]), FOUND_WITHIN * PATIENCE)

    def test_the_report_is_for_people_too(self):
        at = f"hangs.cpp:{line('hangs.cpp', 'recv')} in recv, called from "
        self.assertRegex(self.jobs["recv_recv"].result()[2], rf"""^tandem watch: 2 of 2 ranks can never go on
  rank 0  MPI_Recv from rank 1, tag 3, 4 bytes
          at .*{at}.* in recv_recv, called from .* in main
  rank 1  MPI_Recv from rank 0, tag 3, 4 bytes
          at .*{at}.* in recv_recv, called from .* in main
A cycle: rank 0 waits for rank 1, rank 1 waits for rank 0. All of them receive before any sends.
Let one rank send before it receives, or exchange in one call .MPI_Sendrecv..
$""")

    def test_programs_that_wait_in_peace_are_left_in_peace(self):
        for name in QUIET:
            with self.subTest(name):
                code, out, err, report, _ = self.jobs[name].result()
                self.assertEqual((code, out.splitlines()[1:], err, report), (0, ["done"], "", None))

    def test_a_rank_that_throws_ends_the_job_as_ever(self):
        code, _, err, report, _ = self.jobs["throws"].result()
        self.assertEqual((code, report), (134, None))
        self.assertRegex(err, "tile 7 is unreadable[^$]*rank 1 of 2 .* was killed by SIGABRT")
        self.assertEqual(self.jobs["failing"].result()[:4], (1, "", "rank 2 of 3: the loss is NaN\n", None))

    def test_a_program_in_c_that_knows_nothing_of_us(self):
        if "raw" not in self.jobs:
            self.skipTest("no mpicc")
        for name, file, number in ("raw -g", "raw.c", line("raw.c", "raw")), ("raw", None, None):
            code, _, err, report, _ = self.jobs[name].result()
            self.assertEqual((code, report and report["kind"], report and report["stuck"]), (FOUND, "cycle", [0, 1, 2]), err)
            for rank, entry in enumerate(report["ranks"]):
                self.assertEqual((entry["call"], entry["peer"], entry["tag"], entry["bytes"]), ("MPI_Recv", (rank + 2) % 3, 42, 8))
                self.assertEqual((entry["file"] and pathlib.Path(entry["file"]).name, entry["line"]), (file, number))
                self.assertEqual(entry["function"], "pass_on")


if __name__ == "__main__":
    unittest.main()
