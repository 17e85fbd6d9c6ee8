"""Stands between mpirun and one rank: mpirun starts the guard, the guard starts the rank.

    mpirun ──┬── guard ── rank 0        The guard sleeps until its rank ends, and looks around twice a second.
             └── guard ── rank 1

    what happens                  what the guard does
    the rank is killed            says which rank, which process, which host and which signal, and passes it on as 128 + signal
    the rank is frozen            says so and kills it; mpirun then ends the other ranks
    the rank fails                passes its code on, and sees to it that mpirun does end
    mpirun is killed              kills the rank
    the guard itself is killed    nothing; but the kernel kills the rank

A rank is *frozen* if every look for TANDEM_FREEZE_LIMIT seconds (0: for ever) finds it stopped, or waiting for a device that
does not answer, and its processor time unchanged. One that computes, sleeps or waits for a message is not, however long it does;
neither is one that is held by a debugger.

TANDEM_JOB is the job's folder: guard and rank hold a lock on it as long as they live, so the launcher knows when all are gone.
TANDEM_STRICT is the library that makes every send synchronous (parallel/mpi/strict/), TANDEM_WATCH the one that notices when ranks
wait for ever (parallel/mpi/watch/). A call passes through them in the order in which they are loaded: watch, strict, MPI.

    python3 guard.py PROGRAM ARGUMENTS..."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time

LOOK = 0.5            # seconds between two looks
MPIRUN_ENDS = 5       # seconds within which mpirun ends once a rank has failed
FROZEN = 124          # the exit code of `timeout`
PR_SET_PDEATHSIG = 1

freeze_limit = float(os.environ.get("TANDEM_FREEZE_LIMIT") or 0)
job = os.environ.get("TANDEM_JOB")
layers = [library for library in map(os.environ.get, ("TANDEM_WATCH", "TANDEM_STRICT")) if library]
mpirun, guard, child = os.getppid(), os.getpid(), 0
libc = ctypes.CDLL(None)


def say(what):
    rank, size = (os.environ.get(f"OMPI_COMM_WORLD_{name}", "?") for name in ("RANK", "SIZE"))
    print(f"rank {rank} of {size} (pid {child} on {os.uname().nodename}) {what}", file=sys.stderr, flush=True)
    if job:
        open(f"{job}/told", "w").close()  # the launcher then need not say anything


def become(command):
    """The program in place of this process, which ends when the guard does."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored stays so
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:  # it ended before the kernel knew of our wish
        os._exit(1)
    if layers:
        os.environ["LD_PRELOAD"] = " ".join(filter(None, [*layers, os.environ.get("LD_PRELOAD")]))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def look():
    """The rank's state, a letter as in `ps`, and the processor time that it has used."""
    with open(f"/proc/{child}/stat") as file:
        fields = file.read().rpartition(")")[2].split()  # the name in brackets may hold anything
    return fields[0], int(fields[11]) + int(fields[12])


def see_mpirun_end(code):
    """Open MPI 4.1 can hang for ever in its own end, with all ranks gone, if a rank failed while another was in MPI_Finalize. A process
    that outlives this one then kills it, and leaves the code that it would have passed on where the launcher looks for it."""
    if os.fork():
        return
    os.setsid()
    os.closerange(0, 1024)  # mpirun waits for the end of what we write, the launcher for our lock
    for _ in range(int(MPIRUN_ENDS / 0.05)):
        time.sleep(0.05)
        try:
            os.kill(mpirun, 0)
        except ProcessLookupError:
            os._exit(0)
    with open(f"{job}/code", "w") as file:
        file.write(str(code))
    os.kill(mpirun, signal.SIGKILL)
    os._exit(0)


for library in layers:
    if not os.path.exists(library):
        sys.exit(f"there is no {library} on {os.uname().nodename}")
if job:
    lock = os.open(job, os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_SH)
    os.set_inheritable(lock, True)

# mpirun signals the guard together with the rank: the rank acts on it, the guard only watches what becomes of it.
mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
child = os.fork()
if child == 0:
    become(sys.argv[1:])

last_sign, last_time, killed = time.monotonic(), -1, False
while True:
    signal.sigtimedwait([signal.SIGCHLD], LOOK)
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    if os.getppid() != mpirun:
        os.kill(child, signal.SIGKILL)
        sys.exit(1)
    state, used = look()
    now = time.monotonic()
    if state not in "TD" or used != last_time:
        last_sign, last_time = now, used
    elif freeze_limit and now - last_sign >= freeze_limit and not killed:
        how = "stopped (SIGSTOP)" if state == "T" else "waiting for a device"
        say(f"is frozen: {how} for {freeze_limit:g} s; --freeze-limit changes how long that may last")
        os.kill(child, signal.SIGKILL)
        killed = True

code = os.waitstatus_to_exitcode(status)
stopped_by_mpirun = signal.SIGTERM in signal.sigpending()
if code < 0 and not killed and not stopped_by_mpirun:
    say(f"was killed by {signal.Signals(-code).name}{': out of memory?' if -code == signal.SIGKILL else ''}")
code = FROZEN if killed else 128 - code if code < 0 else code
if code and job and not stopped_by_mpirun:
    see_mpirun_end(code)
sys.exit(code)
