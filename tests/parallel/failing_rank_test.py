#!/usr/bin/env python3
"""How a job ends when a rank fails: at once, with the rank and its words, and with a status that says so.

failing_rank_test.py PROGRAM [UNITTEST ARGUMENTS...]"""

import os
import pathlib
import subprocess
import sys
import unittest

TANDEM = pathlib.Path(__file__).resolve().parent.parent.parent / "tandem"
PROGRAM = sys.argv.pop(1)


def job(how, ranks=3):
    return subprocess.run([TANDEM, "run", "-n", str(ranks), PROGRAM, how], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)


class EndOfJob(unittest.TestCase):
    def expect(self, how, status, *lines, ranks=3):
        result = job(how, ranks)
        self.assertEqual(sorted(result.stderr.splitlines()), sorted(lines))
        self.assertEqual((result.returncode, result.stdout), (status, ""))

    def test_nothing_fails(self):
        self.expect("nothing", 0)

    def test_what_all_ranks_say_is_said_once(self):
        for ranks in (1, 2, 4):
            self.expect("everyone", 2, "error: --epochs is -3; expected 1 or more", ranks=ranks)

    def test_different_words_are_all_said(self):
        self.expect("everyone_in_own_words", 1, *(f"rank {r} of 3: tile {r} is unreadable" for r in range(3)))

    def test_one_rank_that_throws_ends_the_others(self):
        self.expect("one", 1, "rank 2 of 3: the loss is NaN")
        self.expect("one_misused", 2, "rank 2 of 3: no such option")
        self.expect("not_an_exception", 1, "rank 2 of 3: an exception of unknown type")
        self.expect("owning", 1, "rank 2 of 3: thrown by an owner of a communicator")

    def test_errors_of_mpi_are_errors_like_others(self):
        self.expect("mpi", 1, "rank 2 of 3: MPI_Isend: MPI_ERR_RANK: invalid rank")

    def test_a_buffer_that_dies_under_a_message_ends_the_job(self):
        words = "an error was thrown while a message was under way; its buffer dies, so the job ends here"
        self.expect("message_under_way", 1, f"rank 2 of 3: {words}")

    def test_hosts_that_compute_differently_are_refused_by_name(self):
        host = os.uname().nodename
        result = job("other_machine")
        self.assertEqual((result.returncode, result.stdout, result.stderr.count("\n")), (1, "", 1), result.stderr)
        self.assertRegex(result.stderr, rf"^error: the hosts of this job do not compute alike: rank 0 on {host} is '.*', "
                                        rf"but rank 2 on {host} is 'built for another CPU'; build for the oldest")


if __name__ == "__main__":
    unittest.main()
