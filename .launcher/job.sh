# shellcheck shell=bash
# One job: the ranks that mpirun starts, from what Open MPI must be told to the last file that goes away.

enough_shm=1024  # megabytes in /dev/shm from which on ranks share memory there

# Sets an environment variable unless the user did.
default() { [[ -v $1 ]] || export "$1=$2"; }

# What Open MPI must be told so that it just works here. As environment variables, so that options of mpirun win.
prepare_mpi() {
  job="" shared=""                                    # the folders to remove at the end, never what the environment calls so
  export TANDEM_FREEZE_LIMIT=$freeze_limit TANDEM_STRICT=$strict TANDEM_WATCH=$watch TANDEM_JOB=""  # for the guards
  default OMPI_ALLOW_RUN_AS_ROOT 1
  default OMPI_ALLOW_RUN_AS_ROOT_CONFIRM 1
  default OMPI_MCA_rmaps_base_oversubscribe 1         # more ranks than cores is how one learns on a laptop
  default OMPI_MCA_hwloc_base_binding_policy none     # else all threads of a rank share one core
  default OMPI_MCA_mpi_yield_when_idle $((ranks_here > $(cores)))
  default OMPI_MCA_btl_base_warn_component_unused 0   # no lament over networks that are not there
  default TANDEM_TERMINAL "$([[ -t 1 ]] && echo 1 || echo 0)"  # mpirun gives every rank a terminal, whatever ours is
  default OMPI_MCA_odls_base_sigkill_timeout 0        # ranks that must end, end now; else they get 2 s to clean up
  default ASAN_OPTIONS detect_leaks=0:verify_asan_link_order=0  # Open MPI never frees some of its memory; --strict and --watch load first
  may_read_other_process || default OMPI_MCA_btl_vader_single_copy_mechanism none
  if ((host_count > 1)) || [[ ${SLURM_JOB_NUM_NODES:-1} != 1 ]]; then
    mapfile -t -O "${#options[@]}" options < <(compgen -e | sed -nE 's/^((TANDEM|OMP|ASAN)_.*)/-x\n\1/p')
    return
  fi
  options+=(--quiet)                                  # else 20 lines of mpirun bury the program's last word
  default OMPI_MCA_pml ob1
  default OMPI_MCA_btl self,vader
  # Shared memory is files: in /dev/shm where that is roomy (a container may have 64 MB), else in the job's folder.
  remove_stale_folders
  local folder lock
  job_folder "${TMPDIR:-/tmp}"; job=$folder shared=$folder job_lock=$lock
  (($(free_disk /dev/shm) < enough_shm)) || { job_folder /dev/shm; shared=$folder; }
  export TANDEM_JOB=$job
  default OMPI_MCA_orte_tmpdir_base "$job"
  default OMPI_MCA_btl_vader_backing_directory "$shared"
  default OMPI_MCA_osc_sm_backing_directory "$shared"
}

# Open MPI copies a large message by reading the other rank's memory, which some containers forbid. So try it on a sibling.
may_read_other_process() {
  python3 -SEc '
import ctypes, os, signal, sys
class Piece(ctypes.Structure): _fields_ = [("address", ctypes.c_void_p), ("size", ctypes.c_size_t)]
libc, word, copy = ctypes.CDLL(None), ctypes.create_string_buffer(b"tandem"), ctypes.create_string_buffer(6)
ready, tell = os.pipe()
sibling = os.fork()
if sibling == 0:
    libc.prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER_ANY, as Open MPI does
    signal.alarm(5)
    os.write(tell, b".")
    signal.pause()
os.read(ready, 1)
mine, theirs = (Piece(ctypes.addressof(buffer), 6) for buffer in (copy, word))
reader = os.fork()
if reader == 0: os._exit(libc.process_vm_readv(sibling, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) != 6)
status = os.waitpid(reader, 0)[1]
os.kill(sibling, signal.SIGKILL)
sys.exit(status != 0)' 2>/dev/null
}

# Folders of jobs. Whoever belongs to a job holds a shared lock on its folders, which the kernel lets go however he ends: so a
# folder whose lock is free is of a dead job. A number of a process would not do, since another container may use it as well.

# Makes $folder in the folder given, and locks it as $lock.
job_folder() {
  while true; do
    folder=$(mktemp -d "$1/tandem-job.XXXXXX")
    { exec {lock}<"$folder" && flock --shared "$lock"; } 2>/dev/null || true
    [[ ! -d $folder ]] || return 0
  done  # somebody took it for stale, between these commands
}

# A job whose launcher was killed could not remove its own.
remove_stale_folders() {
  local folder lock
  for folder in "${TMPDIR:-/tmp}"/tandem-job.?????? /dev/shm/tandem-job.??????; do
    [[ -d $folder && -O $folder && ! -L $folder ]] && { exec {lock}<"$folder"; } 2>/dev/null || continue
    if flock --nonblock "$lock"; then rm -rf "$folder"; fi
    exec {lock}<&-
  done
}

# The guards and ranks of a job may outlive mpirun by a moment, if that was killed.
remove_job() {
  [[ -n $job ]] || return 0
  flock --timeout 5 "$job_lock" || say "some process of this job does not end"
  rm -rf "$job" "$shared"
}

# start_ranks PROGRAM ARGUMENTS...
#
#   tandem ── mpirun ──┬── guard ── rank 0       mpirun is a child, so that the job's folders go away however it ends.
#                      └── guard ── rank 1       If tandem is killed, mpirun gets SIGTERM from the kernel.
start_ranks() {
  local code=0 stopped=0 child="" signal
  trap remove_job EXIT
  for signal in HUP INT TERM; do
    # shellcheck disable=SC2064  # the signal is meant to be filled in now
    trap "stopped=$((128 + $(kill -l $signal))); kill -TERM \$child 2>/dev/null || true" $signal
  done
  setpriv --pdeathsig TERM "${limited[@]}" mpirun -n "$ranks" "${options[@]}" python3 -IS "$root/.launcher/guard.py" "$@" <&0 &
  child=$!
  while kill -0 "$child" 2>/dev/null; do  # a signal ends `wait` early
    code=0
    wait "$child" 2>/dev/null || code=$?
  done
  ((stopped == 0)) || exit "$stopped"
  [[ -z $job || ! -e $job/code ]] || return "$(<"$job/code")"  # mpirun did not end: see_mpirun_end in guard.py
  if ((code == 124)) && [[ ! -e $job/told ]]; then say "the job was stopped at its limit of $limit s"
  elif ((code > 128)) && [[ -n $job && ! -e $job/told ]]; then say "mpirun or a guard was killed by SIG$(kill -l $((code - 128)))"; fi
  return "$code"
}
