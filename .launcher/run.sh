# shellcheck shell=bash
# tandem run: a program on some ranks, on any machine, with nothing to configure.

enough_shm=1024  # megabytes in /dev/shm from which on ranks share memory there

#? run [-n RANKS] [--threads T] [--preset NAME] [--hosts A,B:4 | --hostfile FILE] [MPIRUN OPTIONS...] PROGRAM ARGUMENTS...
#?   Starts a program, one of ours by name or any by its path, on RANKS ranks (default 1).
#?   Every rank gets OMP_NUM_THREADS = max(1, cores / ranks) threads, unless that is set or --threads says otherwise.
#?   A program that links no MPI starts without mpirun. The exit code is the program's.
#?     tandem run -n 2 classify --epochs 4
#?     tandem run -n 2 --mca btl self,tcp ./my_mpi_program
#?     tandem run -n 8 --hosts anna:4,berta:4 classify
#?   Slurm can start the programs itself:  srun -n 4 build/release/bin/classify
do_run() {
  exit_on_help "$@"
  local ranks=1 threads="" hosts="" options=() program host_count ranks_here
  while [[ ${1:-} == -* ]]; do
    case $1 in
      -n | --n | -np | --np | -c) ranks=${2:-}; shift ;;
      --threads) threads=${2:-}; shift ;;
      --preset) preset=${2:-}; shift ;;
      --hosts | --host | -H) hosts=${2:-} options+=(--host "${2:-}"); shift ;;
      --hostfile | --machinefile)
        [[ -r ${2:-} ]] || misuse "run: cannot read the host file '${2:-}'"
        hosts=$(awk '!/^ *(#|$)/ {print $1}' "$2" | paste -sd,) options+=(--hostfile "$2"); shift ;;
      -mca | --mca | -gmca | --gmca) options+=("${@:1:3}"); shift; shift || true ;;
      # The other options of mpirun that take a value; all the rest are switches.
      -x | -wd | -wdir | --wdir | -bind-to | --bind-to | -map-by | --map-by | -rank-by | --rank-by | -rf | --rankfile | --stdin | \
      -N | -npernode | --npernode | -npersocket | --npersocket | -cpu-set | --cpu-set | -cpu-list | --cpu-list | -slot-list | \
      --slot-list | --default-hostfile | --report-uri | --max-restarts | --output-filename | --timeout | --prefix | --path | --tune | -am | --am | --xterm)
        options+=("${@:1:2}"); shift ;;
      *) options+=("$1") ;;
    esac
    shift || misuse "run: the last option wants a value"
  done
  [[ $ranks =~ ^[1-9][0-9]*$ ]] || misuse "run: -n is '$ranks'; expected a number of ranks, 1 or more"
  [[ $threads =~ ^([1-9][0-9]*)?$ ]] || misuse "run: --threads is '$threads'; expected 1 or more"
  (($#)) || misuse "run: which program?  tandem run --help"
  check_preset
  find_program "$1"; shift

  host_count=$(tr , '\n' <<<"$hosts" | sed 's/:.*//' | sort -u | wc -l)
  ranks_here=$(((ranks + host_count - 1) / host_count))
  [[ -z $threads ]] || export OMP_NUM_THREADS=$threads
  threads=$(($(cores) / ranks_here))
  default OMP_NUM_THREADS $((threads > 1 ? threads : 1))
  # Where threads outnumber cores, one that spins while it waits keeps another from working.
  ((ranks_here * OMP_NUM_THREADS <= $(cores))) || default OMP_WAIT_POLICY passive

  if ! is_mpi "$program"; then
    ((ranks == 1)) || say "$(basename "$program") links no MPI: starting it once"
    exec "$program" "$@"
  fi
  have mpirun || fail "mpirun is missing; run:  tandem setup"
  prepare_mpi
  start_ranks mpirun -n "$ranks" "${options[@]}" "$program" "$@"
}

# Sets $program to the path of a program given by path or by the name of one of ours.
find_program() {
  local bin=$root/build/$preset/bin
  program=$1
  [[ $1 == */* ]] || program=$bin/$1
  [[ -f $program && -x $program ]] && return
  [[ $1 != */* ]] || misuse "run: $1 is not a program"
  [[ -d $bin ]] || misuse "run: build/$preset has no programs yet; run:  tandem build --preset $preset"
  misuse "run: no program '$1' in build/$preset; there are: $(find "$bin" -maxdepth 1 -type f -executable -printf '%P\n' | sort | paste -sd' ')"
}

# Scripts and static programs do not show whether they use MPI, nor does Python: they do if ranks were asked for.
is_mpi() {
  local libraries
  if libraries=$(ldd "$1" 2>/dev/null) && [[ $(basename "$1") != python* ]]; then [[ $libraries == *libmpi* ]]; else ((ranks > 1)); fi
}

# Sets an environment variable unless the user did.
default() { [[ -v $1 ]] || export "$1=$2"; }

# What Open MPI must be told so that it just works here. As environment variables, so that options of mpirun win.
prepare_mpi() {
  job="" shared=""                                    # the folders to remove at the end, never what the environment calls so
  default OMPI_ALLOW_RUN_AS_ROOT 1
  default OMPI_ALLOW_RUN_AS_ROOT_CONFIRM 1
  default OMPI_MCA_rmaps_base_oversubscribe 1         # more ranks than cores is how one learns on a laptop
  default OMPI_MCA_hwloc_base_binding_policy none     # else all threads of a rank share one core
  default OMPI_MCA_mpi_yield_when_idle $((ranks_here > $(cores)))
  default OMPI_MCA_btl_base_warn_component_unused 0   # no lament over networks that are not there
  default TANDEM_TERMINAL "$([[ -t 1 ]] && echo 1 || echo 0)"  # mpirun gives every rank a terminal, whatever ours is
  default ASAN_OPTIONS detect_leaks=0                 # Open MPI never frees some of its memory
  may_read_other_process || default OMPI_MCA_btl_vader_single_copy_mechanism none
  if ((host_count > 1)) || [[ ${SLURM_JOB_NUM_NODES:-1} != 1 ]]; then
    mapfile -t -O "${#options[@]}" options < <(compgen -e | sed -nE 's/^((TANDEM|OMP|ASAN)_.*)/-x\n\1/p')
    return
  fi
  options+=(--quiet)                                  # else 20 lines of mpirun bury the program's last word
  default OMPI_MCA_pml ob1
  default OMPI_MCA_btl self,vader
  # Shared memory is files: in /dev/shm where that is roomy (a container may have 64 MB), else in the job's folder.
  job=$(mktemp -d "${TMPDIR:-/tmp}/tandem.XXXXXX") shared=$job
  (($(free_disk /dev/shm) < enough_shm)) || shared=$(mktemp -d /dev/shm/tandem.XXXXXX)
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

# Runs mpirun as a child, so that the job's folders go away however it ends.
start_ranks() {
  local code=0 stopped=0 child="" signal
  trap 'rm -rf ${job:+"$job" "$shared"}' EXIT
  for signal in HUP INT TERM; do
    # shellcheck disable=SC2064  # the signal is meant to be filled in now
    trap "stopped=$((128 + $(kill -l $signal))); kill -TERM \$child 2>/dev/null || true" $signal
  done
  "$@" <&0 &
  child=$!
  while kill -0 "$child" 2>/dev/null; do  # a signal ends `wait` early
    code=0
    wait "$child" || code=$?
  done
  ((stopped == 0)) || exit "$stopped"
  ((code <= 128)) || say "a rank was killed by SIG$(kill -l $((code - 128)))$([[ $code != 137 ]] || echo ': out of memory?')"
  return "$code"
}
