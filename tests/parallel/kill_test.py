#!/usr/bin/env python3
"""How a job ends that cannot say anything itself: a rank, mpirun or the launcher is killed, or a rank freezes. It ends soon, says
which rank it was, and leaves neither a process nor a file.

kill_test.py PROGRAM [UNITTEST ARGUMENTS...]

The times allowed are those promised, times TANDEM_TEST_PATIENCE (default 3), since other work may use the machine."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TANDEM = pathlib.Path(__file__).resolve().parent.parent.parent / "tandem"
PROGRAM = sys.argv.pop(1)
PATIENCE = float(os.environ.get("TANDEM_TEST_PATIENCE", 3))
HOST = os.uname().nodename
SHARED = pathlib.Path("/dev/shm")


def parents():
    """The parent of each process that runs; one that has ended and waits for its parent to notice does not."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if state not in "ZX":
            found[int(stat.parent.name)] = int(parent)
    return found


def tree(root):
    """A process and all that descend from it."""
    found, all_parents = [root], parents()
    for process in found:
        found += [child for child, parent in all_parents.items() if parent == process]
    return found


def uses(process, folder):
    """Whether a process has a file of the folder, or the folder itself, open or in its memory."""
    try:
        open_files = [os.readlink(f) for f in pathlib.Path(f"/proc/{process}/fd").iterdir()]
        return str(folder) in pathlib.Path(f"/proc/{process}/maps").read_text() or any(f.startswith(str(folder)) for f in open_files)
    except OSError:  # it has ended, or is another user's
        return False


def eventually(truth, seconds):
    end = time.monotonic() + seconds * PATIENCE
    while not truth():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Job:
    """Four ranks that wait for the last, which computes; in a temporary folder of its own."""

    def __init__(self, test, *options, seconds=100, ranks=4):
        temporary = tempfile.TemporaryDirectory(prefix="tandem-test.")
        test.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.environment = {**os.environ, "TMPDIR": temporary.name}
        before = set(SHARED.iterdir())
        self.launcher = subprocess.Popen([TANDEM, "run", "-n", str(ranks), *options, PROGRAM, "wait", str(seconds)], text=True,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)
        test.addCleanup(lambda: (self.launcher.kill(), self.launcher.communicate()))
        self.ranks = dict(map(int, self.launcher.stdout.readline().split()) for _ in range(ranks))
        self.processes = tree(self.launcher.pid)
        # Other jobs may begin at the same time: what a process of this one uses is this one's.
        self.files = [*self.folder.iterdir(), *(f for f in set(SHARED.iterdir()) - before if any(uses(p, f) for p in self.processes))]

    def named(self, name):
        return [p for p in self.processes if pathlib.Path(f"/proc/{p}/comm").read_text().strip() == name][0]

    def left(self):
        return [p for p in self.processes if p in parents()]


class Killed(unittest.TestCase):
    def expect_end(self, job, seconds, status, words):
        out, err = job.launcher.communicate(timeout=seconds * PATIENCE)
        self.assertEqual((job.launcher.returncode, out, err), (status, "", words))
        self.expect_nothing_left(job)

    def expect_nothing_left(self, job):
        self.assertEqual(job.left(), [])
        self.assertEqual(list(job.folder.iterdir()), [])
        self.assertEqual([f for f in job.files if f.exists() and f.owner() == job.folder.owner() and "tandem-job" in f.name], [])

    def test_a_rank_that_is_killed_is_named(self):
        for rank, how, words in (0, signal.SIGKILL, "SIGKILL: out of memory?"), (2, signal.SIGTERM, "SIGTERM"):
            job = Job(self)
            os.kill(job.ranks[rank], how)
            self.expect_end(job, 2, 128 + how, f"rank {rank} of 4 (pid {job.ranks[rank]} on {HOST}) was killed by {words}\n")

    def test_a_rank_that_is_frozen_is_named_after_the_limit(self):
        job = Job(self, "--freeze-limit", "2")
        os.kill(job.ranks[1], signal.SIGSTOP)
        start = time.monotonic()
        self.expect_end(job, 2 + 2, 124, f"rank 1 of 4 (pid {job.ranks[1]} on {HOST}) is frozen: stopped (SIGSTOP) for 2 s; "
                                         "--freeze-limit changes how long that may last\n")
        self.assertGreaterEqual(time.monotonic() - start, 2 - 0.6)  # a look may come a little before the rank stops

    def test_a_rank_that_computes_or_rests_for_longer_than_the_limit_is_not_frozen(self):
        job = Job(self, "--freeze-limit", "1", seconds=4)
        os.kill(job.ranks[1], signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(job.ranks[1], signal.SIGCONT)
        out, err = job.launcher.communicate(timeout=60)
        self.assertEqual((job.launcher.returncode, out, err), (0, "done\n", ""))

    def test_without_a_limit_a_frozen_rank_is_waited_for(self):
        job = Job(self, "--freeze-limit", "0", seconds=1)
        for stop in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(job.ranks[1], stop)
            time.sleep(1.5)
        out, err = job.launcher.communicate(timeout=60)
        self.assertEqual((job.launcher.returncode, out, err), (0, "done\n", ""))

    def test_without_mpirun_the_ranks_end(self):
        job = Job(self)
        os.kill(job.named("mpirun"), signal.SIGKILL)
        self.expect_end(job, 2, 137, "tandem: mpirun or a guard was killed by SIGKILL\n")

    def test_if_mpirun_does_not_end_after_a_rank_has_failed_the_job_ends_all_the_same(self):
        job = Job(self)
        os.kill(job.named("mpirun"), signal.SIGSTOP)
        os.kill(job.ranks[2], signal.SIGTERM)
        self.expect_end(job, 5 + 2, 128 + signal.SIGTERM, "")  # what the guard said is still with mpirun

    def test_without_its_guard_a_rank_ends(self):
        job = Job(self)
        os.kill(int(pathlib.Path(f"/proc/{job.ranks[3]}/stat").read_text().split()[3]), signal.SIGKILL)
        self.expect_end(job, 2, 137, "tandem: mpirun or a guard was killed by SIGKILL\n")

    def test_without_the_launcher_all_end_and_the_next_one_removes_its_files(self):
        living, dead = Job(self, ranks=2), Job(self, ranks=2)
        dead.launcher.kill()
        self.assertTrue(eventually(lambda: not dead.left(), 2), "processes are left")
        self.assertNotEqual(list(dead.folder.iterdir()), [])
        foreign = dead.folder / "of-another-program.XXXXXX"
        foreign.mkdir()
        next_one = subprocess.run([TANDEM, "run", "-n", "2", PROGRAM, "nothing"], env=dead.environment, capture_output=True, text=True)
        self.assertEqual((next_one.returncode, next_one.stderr), (0, ""))
        self.assertEqual([f for f in dead.files if f.exists()], [])
        self.assertEqual(list(dead.folder.iterdir()), [foreign])

        self.assertTrue(all(f.exists() for f in living.files if "tandem-job" in f.name), "the living job keeps its own")
        os.kill(living.ranks[0], signal.SIGKILL)
        living.launcher.communicate(timeout=2 * PATIENCE)
        self.expect_nothing_left(living)

    def test_a_job_ends_at_its_limit(self):
        job = Job(self, "--limit", "3")
        self.expect_end(job, 3 + 2, 124, "tandem: the job was stopped at its limit of 3 s\n")


class Strict(unittest.TestCase):
    def test_two_ranks_that_both_send_first_finish_only_thanks_to_the_buffers_of_mpi(self):
        def both_send_first(*options):
            return subprocess.run([TANDEM, "run", "-n", "2", *options, PROGRAM, "send_first"], capture_output=True, text=True)

        self.assertEqual(both_send_first().returncode, 0)
        result = both_send_first("--strict", "--limit", "4")
        self.assertEqual((result.returncode, result.stderr), (124, "tandem: the job was stopped at its limit of 4 s\n"))
        self.assertEqual(subprocess.run([TANDEM, "run", "-n", "2", "--strict", PROGRAM, "other"]).returncode, 0)  # as any right program


if __name__ == "__main__":
    unittest.main()
