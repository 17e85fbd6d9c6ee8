#!/usr/bin/env python3
"""What ./tandem promises: helpful words for mistakes, ranks that start and stop cleanly, downloads that are whole or absent."""

import ctypes
import hashlib
import http.server
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import textwrap
import threading
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TANDEM = ROOT / "tandem"


# The environment without what the run of these tests has set for its own builds and jobs.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("TANDEM_", "OMP_", "OMPI_", "PMIX_"))}


def tandem(*arguments, cwd="/", env=(), **more):
    """Runs ./tandem from a folder that is not its own."""
    return subprocess.run([TANDEM, *map(str, arguments)], cwd=cwd, env={**CLEAN, **dict(env)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **more)


class Folder(unittest.TestCase):
    """A test with a folder of its own, self.folder."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="tandem-test.")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)


class Words(unittest.TestCase):
    def test_every_command_has_a_summary_and_a_help(self):
        usage = tandem("--help").stdout
        for command in "setup doctor build test demo bench run data".split():
            self.assertRegex(usage, rf"(?m)^  tandem {command} +[A-Z].*\.$")
            self.assertTrue(tandem(command, "--help").stdout.startswith(f"tandem {command}"))

    def test_mistakes_exit_with_2_and_say_what_would_be_right(self):
        for arguments, hint in [(["nope"], "setup doctor build"), (["data", "nope"], "eurosat fashion-mnist landsat"),
                                (["bench", "nope"], "peers allreduce"), (["build", "--preset", "nope"], "release debug"),
                                (["run"], "which program"), (["run", "-n"], "wants a value"),
                                (["run", "-n", "0", "/bin/true"], "-n is '0'"), (["run", "--limit", "1h", "/bin/true"], "--limit is '1h'"),
                                (["run", "--freeze-limit", "-1", "/bin/true"], "--freeze-limit is '-1'"), (["run", "/nowhere/at/all"], "not a program"),
                                (["run", "--preset", "nope", "classify"], "no preset"), (["help", "nope"], "no command")]:
            with self.subTest(arguments=arguments):
                result = tandem(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(hint, result.stderr)

    def test_it_works_through_a_symbolic_link(self):
        with tempfile.TemporaryDirectory() as folder:
            link = pathlib.Path(folder, "tandem")
            link.symlink_to(TANDEM)
            self.assertEqual(subprocess.run([link, "bench"], stdout=subprocess.DEVNULL).returncode, 0)


RANK_PROGRAM = r"""
    #include <mpi.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>

    // Sends 2 MB around the ring, says who it is, and ends as its argument says.
    int main(int argc, char** argv) {
      MPI_Init(&argc, &argv);
      int rank, size;
      MPI_Comm_rank(MPI_COMM_WORLD, &rank);
      MPI_Comm_size(MPI_COMM_WORLD, &size);
      static char out[1 << 21], in[1 << 21];
      memset(out, 'a' + rank, sizeof out);
      MPI_Sendrecv(out, sizeof out, MPI_CHAR, (rank + 1) % size, 0, in, sizeof in, MPI_CHAR, (rank + size - 1) % size, 0,
                   MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      printf("rank %d of %d, %s threads, from %c\n", rank, size, getenv("OMP_NUM_THREADS"), in[sizeof in - 1]);
      fflush(stdout);
      const char* end = argc > 1 ? argv[1] : "";
      if (!strcmp(end, "abort") && rank == 1) { fprintf(stderr, "rank 1: no more\n"); MPI_Abort(MPI_COMM_WORLD, 3); }
      if (!strcmp(end, "crash") && rank == 1) abort();
      if (!strcmp(end, "kill") && rank == 1) raise(SIGKILL);
      if (*end) sleep(60);
      MPI_Finalize();
    }
"""


@unittest.skipUnless(shutil.which("mpicc") and shutil.which("mpirun"), "no MPI here")
class Ranks(Folder):
    @classmethod
    def setUpClass(cls):
        cls.build = tempfile.TemporaryDirectory(prefix="tandem-test.")
        cls.addClassCleanup(cls.build.cleanup)
        source = pathlib.Path(cls.build.name, "ranks.c")
        source.write_text(textwrap.dedent(RANK_PROGRAM))
        cls.program = source.with_suffix("")
        subprocess.run(["mpicc", source, "-o", cls.program], check=True)

    def run_ranks(self, *arguments, env=(), **more):
        result = tandem("run", *arguments, env={"TMPDIR": str(self.folder), **dict(env)}, **more)
        self.assertEqual(list(self.folder.iterdir()), [], "a job leaves nothing behind")
        return result

    def test_as_many_ranks_as_asked_for_even_more_than_cores(self):
        cores = int(tandem("run", "/usr/bin/printenv", "OMP_NUM_THREADS").stdout)
        for ranks in (1, 2, 5):
            result = self.run_ranks("-n", ranks, self.program)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            threads = max(1, cores // ranks)
            self.assertEqual(sorted(result.stdout.splitlines()),
                             [f"rank {r} of {ranks}, {threads} threads, from {chr(97 + (r - 1) % ranks)}" for r in range(ranks)])

    def test_threads_are_those_of_the_option_then_of_the_environment(self):
        self.assertIn(" 3 threads", self.run_ranks("-n", 2, "--threads", 3, self.program).stdout)
        self.assertIn(" 4 threads", self.run_ranks("-n", 2, self.program, env={"OMP_NUM_THREADS": "4"}).stdout)
        self.assertIn(" 3 threads", self.run_ranks("--threads", 3, self.program, env={"OMP_NUM_THREADS": "4"}).stdout)

    def test_folders_that_the_environment_calls_job_or_shared_are_not_ours_to_remove(self):
        with tempfile.TemporaryDirectory() as kept:
            for hosts in ([], ["--hosts", "127.0.0.1:1,localhost:1"]):
                tandem("run", "-n", 2, *hosts, self.program, env={"job": kept, "shared": kept})
                self.assertTrue(pathlib.Path(kept).is_dir(), hosts)

    def test_options_of_mpirun_pass_through(self):
        result = self.run_ranks("-n", 2, "--tag-output", "--mca", "btl", "self,tcp", "-x", "WHO=me", self.program)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("[1,1]<stdout>:rank 1 of 2", result.stdout)

    def test_the_exit_code_is_the_program_s_and_its_words_are_the_last(self):
        result = self.run_ranks("-n", 2, self.program, "abort")
        self.assertEqual((result.returncode, result.stderr), (3, "rank 1: no more\n"))

    def test_a_rank_that_dies_is_named_by_its_signal(self):
        result = self.run_ranks("-n", 2, self.program, "kill")
        self.assertEqual(result.returncode, 137)
        self.assertRegex(result.stderr, r"^rank 1 of 2 \(pid \d+ on \S+\) was killed by SIGKILL: out of memory\?\n$")
        result = self.run_ranks("-n", 2, self.program, "crash")
        self.assertEqual(result.returncode, 134)
        self.assertRegex(result.stderr, r"(?m)^rank 1 of 2 \(pid \d+ on \S+\) was killed by SIGABRT$")

    def test_a_stopped_job_leaves_no_process_and_no_file(self):
        for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(stop=stop.name):
                job = subprocess.Popen([TANDEM, "run", "-n", "2", self.program, "wait"], stdout=subprocess.PIPE, text=True,
                                       env={**os.environ, "TMPDIR": str(self.folder)})
                job.stdout.readline()
                self.assertNotEqual(list(self.folder.iterdir()), [], "the job's folder is there while it runs")
                self.assertEqual(len(processes_of(self.program)), 2)
                job.send_signal(stop)
                self.assertEqual(job.wait(20), 128 + stop)
                job.stdout.close()
                self.assertEqual(list(self.folder.iterdir()), [])
                self.assertEqual(processes_of(self.program), [])

    def test_programs_without_mpi_start_without_mpirun(self):
        for arguments in ([], ["-n", 2]):
            result = self.run_ranks(*arguments, "/usr/bin/env", "printf", "x", input="")
            self.assertEqual((result.returncode, result.stdout), (0, "x"))

    def test_a_script_runs_on_the_ranks_asked_for(self):
        script = pathlib.Path(self.build.name, "script")
        script.write_text("#!/bin/sh\necho here, terminal $TANDEM_TERMINAL\n")
        script.chmod(0o755)
        self.assertEqual(self.run_ranks("-n", 2, script).stdout, "here, terminal 0\n" * 2)

    def test_it_works_where_a_rank_may_not_read_another_s_memory(self):
        result = self.run_ranks("-n", 2, self.program, preexec_fn=forbid_process_vm_readv)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        # Negative control: without the launcher's probe, Open MPI complains or fails here.
        result = self.run_ranks("-n", 2, self.program, preexec_fn=forbid_process_vm_readv,
                                env={"OMPI_MCA_btl_vader_single_copy_mechanism": "cma"})
        self.assertNotEqual((result.returncode, result.stderr), (0, ""))

    def test_it_works_where_shared_memory_is_tiny(self):
        shrink = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"', "-"]
        if subprocess.run([*shrink, "true"], capture_output=True).returncode:
            self.skipTest("only root may mount")
        result = subprocess.run([*shrink, TANDEM, "run", "-n", "2", self.program], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))


def processes_of(program):
    """The numbers of the running processes whose program this is."""
    found = []
    for link in pathlib.Path("/proc").glob("[0-9]*/exe"):
        try:
            if link.readlink() == program:
                found.append(link.parent.name)
        except OSError:  # it ended meanwhile, or belongs to somebody else
            pass
    return found


def forbid_process_vm_readv():
    """A seccomp filter for this process and its children, as a container engine sets one."""
    number = {"x86_64": 310, "aarch64": 270}[os.uname().machine]  # of the system call
    load, jump_if_equal, give = 0x20, 0x15, 0x06                   # BPF: A = call number; if A == k; return k
    allow, refuse = 0x7FFF0000, 0x00050001                         # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM

    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint16), ("code", ctypes.POINTER(Instruction))]

    code = (Instruction * 4)((load, 0, 0, 0), (jump_if_equal, 0, 1, number), (give, 0, 0, refuse), (give, 0, 0, allow))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(4, code)), 0, 0):  # NO_NEW_PRIVS, SECCOMP
        raise OSError(ctypes.get_errno(), "prctl")


@unittest.skipUnless(shutil.which("mpicc") and shutil.which("mpirun"), "no MPI here")
class Project(Folder):
    """build, test, run by name, demo and bench, on a project of one small program that stands in for Tandem's."""

    def setUp(self):
        super().setUp()
        self.project = self.folder / "project"
        shutil.copytree(ROOT / ".launcher", self.project / ".launcher")
        for name in ("tandem", "CMakePresets.json"):
            shutil.copy(ROOT / name, self.project)
        (self.project / "CMakeLists.txt").write_text(textwrap.dedent("""
            cmake_minimum_required(VERSION 3.25)
            project(stand_in C)
            find_package(MPI REQUIRED)
            link_libraries(MPI::MPI_C)
            set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
            add_executable(classify classify.c)
            add_executable(allreduce classify.c)
            add_executable(compare classify.c)
            enable_testing()
            add_test(NAME passes COMMAND true)
            add_test(NAME fails COMMAND false)
        """))
        self.write("""
            for (int i = 1; i < argc && rank == 0; ++i) puts(argv[i]);
            for (int i = 1; i + 1 < argc; ++i) if (!strcmp(argv[i], "--report")) fclose(fopen(argv[i + 1], "w"));
            if (argc == 1) MPI_Abort(MPI_COMM_WORLD, 5);""")

        self.fake("dpkg-query", 'shift 3; for p; do echo "$p installed"; done')  # packages matter to one test alone

    def write(self, body):
        (self.project / "classify.c").write_text(
            "#include <mpi.h>\n#include <stdio.h>\n#include <string.h>\nint main(int argc, char** argv) {\n"
            f"int rank; MPI_Init(&argc, &argv); MPI_Comm_rank(MPI_COMM_WORLD, &rank); {body}\nreturn MPI_Finalize(); }}\n")

    def fake(self, name, text):
        """Puts a command of this name before the system's."""
        (self.folder / "bin").mkdir(exist_ok=True)
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def tandem(self, *arguments, **env):
        env = {"TANDEM_DATA": str(self.folder / "no-data"), "CCACHE_DISABLE": "1", **env}
        command = [self.project / "tandem", *map(str, arguments)]
        return subprocess.run(command, cwd="/", env={**CLEAN, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", **env}, text=True,
                              capture_output=True, timeout=120)

    def test_build_makes_what_is_new_and_else_says_nothing(self):
        first = self.tandem("build")
        self.assertEqual((first.returncode, first.stderr), (0, ""))
        self.assertIn("classify", first.stdout)
        again = self.tandem("build")
        self.assertEqual((again.returncode, again.stdout, again.stderr), (0, "", ""))
        self.assertEqual(self.tandem("run", "classify", "--", "hello").stdout, "--\nhello\n")
        self.assertEqual(self.tandem("run", "classify").returncode, 5)

    def test_a_program_that_does_not_compile_fails_the_build(self):
        self.write("nonsense")
        result = self.tandem("build", "--preset", "debug")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("nonsense", result.stdout)

    def test_an_unknown_program_gets_the_list_of_those_that_are_there(self):
        result = self.tandem("run", "classfy")
        self.assertEqual(result.returncode, 2)
        self.assertIn("run:  tandem build", result.stderr)
        self.tandem("build")
        result = self.tandem("run", "classfy")
        self.assertEqual(result.returncode, 2)
        self.assertIn("there are: allreduce classify compare", result.stderr)

    def test_test_builds_and_closes_with_the_summary_of_ctest(self):
        result = self.tandem("test", "-R", "passes")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertRegex(result.stdout, r"100% tests passed, 0 tests failed out of 1\n\nTotal Test time.*\n$")
        result = self.tandem("test")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("50% tests passed, 1 tests failed out of 2", result.stdout)

    def test_demo_builds_runs_and_names_the_report(self):
        out = self.folder / "a b"
        result = self.tandem("demo", "--no-open", "--out", out, "--epochs", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[-16:],
                         ["--report", f"{out}/report.html", "--json", f"{out}/result.json", "--epochs", "1", "",
                          "--quick", "--model", "even", "--html", f"{out}/schemes.html", "--json", f"{out}/schemes.json",
                          f"report: {out}/report.html", f"schemes: {out}/schemes.html"])
        # The images of --data, else EuroSAT if it was fetched.
        self.assertIn("--data\n/some/images\n", self.tandem("demo", "--no-open", "--out", out, "--data", "/some/images").stdout)
        (self.folder / "eurosat/2750").mkdir(parents=True)
        self.assertIn(f"--data\n{self.folder}/eurosat\n", self.tandem("demo", "--no-open", "--out", out, TANDEM_DATA=str(self.folder)).stdout)
        self.assertNotIn("--data", result.stdout)

    def test_bench_builds_and_passes_its_arguments(self):
        result = self.tandem("bench", "allreduce", "--quick", "--json", "x.json")
        self.assertEqual((result.returncode, result.stdout.splitlines()[-3:]), (0, ["--quick", "--json", "x.json"]), result.stderr)

    def test_setup_installs_what_is_missing_and_only_that(self):
        result = self.tandem("setup")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertIn("packages are installed", result.stderr)
        self.fake("dpkg-query", 'shift 3; for p; do case $p in curl | unzip) ;; *) echo "$p installed" ;; esac; done')
        self.fake("apt-get", 'echo "apt-get $*" >&2')
        self.fake("sudo", 'exec "$@"')
        result = self.tandem("setup")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertEqual(result.stderr.splitlines()[0], "tandem: installing curl unzip")
        self.assertRegex(result.stderr, r"apt-get install .* curl unzip\n$")

    def test_doctor_names_what_is_missing_and_what_mends_it(self):
        healthy = self.tandem("doctor")
        self.assertEqual(healthy.returncode, int("\nmissing" in healthy.stdout))
        for name in ("curl", "compiler", "CMake", "two ranks"):
            self.assertRegex(healthy.stdout, rf"(?m)^ok +{name} +\S")
        self.fake("dpkg-query", 'shift 3; for p; do case $p in curl) ;; *) echo "$p installed" ;; esac; done')
        self.fake("cmake", "exit 127")  # not there at all
        self.assertRegex(self.tandem("doctor").stdout, r"(?m)^missing +CMake +mend it with:  \S")
        self.fake("cmake", "echo cmake version 3.9.0")
        self.fake("c++", "echo 11")
        self.fake("mpirun", "exit 1")
        result = self.tandem("doctor")
        self.assertEqual(result.returncode, 1)
        for name in ("curl", "compiler", "CMake", "two ranks"):
            self.assertRegex(result.stdout, rf"(?m)^missing +{name} +mend it with:  \S")


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` with ranges; `cut` breaks each of the first so many answers in the middle."""

    content, cut, status, ranges, requests = b"", 0, 200, True, []

    def do_GET(self):
        cls = type(self)
        asked = self.headers.get("Range")
        cls.requests.append(asked)
        if cls.status != 200:
            self.send_error(cls.status)
            return
        start = int(asked[len("bytes="):-1]) if asked and cls.ranges else 0
        if start >= len(cls.content):
            self.send_error(416)
            return
        body = cls.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(cls.content) - 1}/{len(cls.content)}")
        self.end_headers()
        if cls.cut > 0:
            cls.cut -= 1
            body = body[:len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Data(Folder):
    def setUp(self):
        super().setUp()
        Server.content, Server.cut, Server.status, Server.ranges, Server.requests = self.archive(), 0, 200, True, []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.home = self.folder / "data"
        self.tiles = self.home / "eurosat" / "2750"

    def archive(self, *more):
        """A zip of a tile in each of two classes, and of `more` entries."""
        path = self.folder / "made.zip"
        with zipfile.ZipFile(path, "w") as made:
            for name in ("2750/Forest/Forest_1.jpg", "2750/River/River_1.jpg"):
                made.writestr(name, os.urandom(200_000))
            for entry in more:
                made.writestr(entry, "evil")
        return path.read_bytes()

    def fetch(self, md5=None, **more):
        md5 = md5 or hashlib.md5(Server.content).hexdigest()
        address = f"http://127.0.0.1:{self.server.server_port}/EuroSAT.zip"
        return tandem("data", "eurosat", env={"TANDEM_DATA": str(self.home), "TANDEM_EUROSAT_URL": address,
                                              "TANDEM_EUROSAT_MD5": md5, "no_proxy": "*"}, **more)

    def assert_fetched(self, result):
        self.assertEqual((result.returncode, result.stdout), (0, f"{self.tiles.parent}\n"), result.stderr)
        self.assertEqual(sorted(p.name for p in self.tiles.glob("*/*.jpg")), ["Forest_1.jpg", "River_1.jpg"])
        self.assertEqual(sorted(p.name for p in self.home.iterdir()), [".lock", "eurosat"])

    def assert_refused(self, result, *words, kept=()):
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual(sorted(p.name for p in self.home.iterdir()), sorted([".lock", *kept]))

    def test_a_set_is_fetched_once(self):
        self.assert_fetched(self.fetch())
        self.assert_fetched(self.fetch())
        self.assertEqual(Server.requests, [None])
        listing = tandem("data", env={"TANDEM_DATA": str(self.home)}).stdout
        self.assertRegex(listing, r"(?m)^here +eurosat .*MIT")
        self.assertRegex(listing, r"(?m)^- +landsat ")

    def test_a_broken_line_is_taken_up_where_it_broke(self):
        Server.cut = 2
        half = len(Server.content) // 2
        self.assert_fetched(self.fetch())
        self.assertEqual(Server.requests[:2], [None, f"bytes={half}-"])
        self.assertEqual(len(Server.requests), 3)

    def test_a_killed_download_goes_on_from_its_bytes(self):
        self.home.mkdir()
        (self.home / ".eurosat.zip").write_bytes(Server.content[:1000])
        self.assert_fetched(self.fetch())
        self.assertEqual(Server.requests, ["bytes=1000-"])

    def test_a_killed_unpacking_starts_again_without_a_download(self):
        (self.home / ".eurosat.new" / "eurosat" / "2750" / "Half").mkdir(parents=True)
        (self.home / ".eurosat.zip").write_bytes(Server.content)
        self.assert_fetched(self.fetch())
        self.assertEqual(Server.requests, [])

    def test_a_server_that_cannot_resume_sends_it_all_again(self):
        self.home.mkdir()
        for leftover in (Server.content[:1000], Server.content + b"too long"):
            (self.home / ".eurosat.zip").write_bytes(leftover)
            Server.ranges = len(leftover) > 1000
            self.assert_fetched(self.fetch())
            shutil.rmtree(self.home / "eurosat")

    def test_a_wrong_checksum_is_refused_with_both_sums(self):
        self.assert_refused(self.fetch(md5="0" * 32), "0" * 32, hashlib.md5(Server.content).hexdigest())

    def test_a_missing_file_and_a_missing_server_are_named(self):
        Server.status = 404
        self.assert_refused(self.fetch(), "404", "127.0.0.1")
        self.server.shutdown()
        self.server.server_close()
        self.assert_refused(self.fetch(), "cannot fetch", "127.0.0.1")

    def test_what_arrived_before_the_server_went_away_is_kept(self):
        self.home.mkdir()
        (self.home / ".eurosat.zip").write_bytes(Server.content[:1000])
        self.server.shutdown()
        self.server.server_close()
        self.assert_refused(self.fetch(), "first 1000 bytes are kept", kept=[".eurosat.zip"])

    def test_a_full_disk_is_named_and_nothing_stays(self):
        def limit_files():  # a write beyond the limit fails as on a full disk: no root needed
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        self.assert_refused(self.fetch(preexec_fn=limit_files, restore_signals=False), "cannot write", "MB are free")

    def test_a_disk_that_fills_while_unpacking_is_named_and_nothing_stays(self):
        self.home.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", self.home], capture_output=True).returncode:
            self.skipTest("only root may mount")
        self.addCleanup(subprocess.run, ["umount", self.home])
        self.assert_refused(self.fetch(), "cannot write", "MB are free")  # the zip fits, the zip and its content do not

    def test_names_that_lead_out_of_the_folder_are_refused(self):
        link = zipfile.ZipInfo("2750/link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        for evil in ("../evil", "2750/../../evil", "/tmp/tandem-evil", link):
            with self.subTest(evil=evil):
                Server.content = self.archive(evil)
                self.assert_refused(self.fetch(), "unsafe name")
                self.assertFalse((self.folder / "evil").exists())

    def test_what_is_no_zip_is_refused(self):
        Server.content = b"<html>please log in</html>"
        self.assert_refused(self.fetch(), "127.0.0.1")

    def test_a_folder_that_cannot_be_written_is_named(self):
        self.home.write_text("a file in the way")
        result = self.fetch()
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"cannot write to {self.home}", result.stderr)

    @unittest.skipUnless(shutil.which("dpkg-deb"), "no Debian")
    @unittest.skipIf(pathlib.Path("/usr/lib/R/site-library/stars/tif").exists(), "the package is installed")
    def test_a_debian_package_gives_its_folder_without_being_installed(self):
        tree = self.folder / "package"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text("Package: r-cran-stars\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n")
        scene = tree / "usr/lib/R/site-library/stars/tif/L7_ETMs.tif"
        scene.parent.mkdir(parents=True)
        scene.write_text("a scene")
        subprocess.run(["dpkg-deb", "-b", tree, self.folder / "made.deb"], check=True, stdout=subprocess.DEVNULL)
        fake = self.folder / "bin" / "apt-get"
        fake.parent.mkdir()
        fake.write_text(f'#!/bin/sh\ncp {self.folder}/made.deb .\n')
        fake.chmod(0o755)
        env = {"TANDEM_DATA": str(self.home), "PATH": f"{fake.parent}:{os.environ['PATH']}"}
        result = tandem("data", "landsat", env=env)
        self.assertEqual((result.returncode, result.stdout), (0, f"{self.home}/landsat\n"), result.stderr)
        self.assertEqual((self.home / "landsat" / "L7_ETMs.tif").read_text(), "a scene")

        shutil.rmtree(self.home / "landsat")
        fake.write_text("#!/bin/sh\nexit 100\n")
        result = tandem("data", "landsat", env=env)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("apt-get update", result.stderr)
        self.assertEqual([p.name for p in self.home.iterdir()], [".lock"])


if __name__ == "__main__":
    unittest.main()
