# shellcheck shell=bash
# tandem run: a program on some ranks, on any machine, with nothing to configure.

#? run [-n RANKS] [OPTIONS...] [MPIRUN OPTIONS...] PROGRAM ARGUMENTS...
#?   Starts a program, one of ours by name or any by its path, on RANKS ranks (default 1).
#?   --threads T         threads of each rank; else $OMP_NUM_THREADS, else max(1, cores / ranks)
#?   --preset NAME       of which build, for our own programs
#?   --hosts A,B:4       on these hosts, or --hostfile FILE; Tandem and the program are at the same paths on all of them
#?   --limit S           ends the job if it takes longer than S seconds; the exit code is then 124
#?   --freeze-limit S    ends it if a rank is frozen for S seconds: stopped, or stuck in a device (default 60; 0: never)
#?   --strict            makes every send synchronous, so that a program which relies on MPI's buffers hangs
#?   --watch             ends the job when ranks wait for each other for ever, and says which, where and why; the exit code is then 123
#?   The exit code is the program's. If one rank fails, is killed or freezes, the others end with it, and a line names it.
#?   A program that links no MPI starts without mpirun.
#?     tandem run -n 2 classify --epochs 4
#?     tandem run -n 2 --mca btl self,tcp ./my_mpi_program
#?     tandem run -n 2 --strict --limit 60 ./my_mpi_program
#?     tandem run -n 2 --watch ./my_mpi_program
#?     tandem run -n 8 --hosts anna:4,berta:4 classify
#?   Slurm can start the programs itself:  srun -n 4 build/release/bin/classify
do_run() {
  exit_on_help "$@"
  local ranks=1 threads="" hosts="" limit=0 freeze_limit=${TANDEM_FREEZE_LIMIT:-60} strict="" watch=""
  local options=() limited=() program host_count ranks_here
  while [[ ${1:-} == -* ]]; do
    case $1 in
      -n | --n | -np | --np | -c) ranks=${2:-}; shift ;;
      --threads) threads=${2:-}; shift ;;
      --preset) preset=${2:-}; shift ;;
      --limit) limit=${2:-}; shift ;;
      --freeze-limit) freeze_limit=${2:-}; shift ;;
      --strict) strict=1 ;;
      --watch) watch=1 ;;
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
  [[ $limit =~ ^[0-9]+$ ]] || misuse "run: --limit is '$limit'; expected whole seconds, or 0 for none"
  [[ $freeze_limit =~ ^[0-9]+$ ]] || misuse "run: --freeze-limit is '$freeze_limit'; expected whole seconds, or 0 for none"
  (($#)) || misuse "run: which program?  tandem run --help"
  check_preset
  find_program "$1"; shift
  ((limit == 0)) || limited=(timeout --foreground --kill-after=1 "$limit")
  [[ -z $strict ]] || find_layer strict
  [[ -z $watch ]] || find_layer watch

  host_count=$(tr , '\n' <<<"$hosts" | sed 's/:.*//' | sort -u | wc -l)
  [[ -z $watch ]] || ((host_count == 1)) || misuse "run: --watch is for one host: its ranks share a board in memory"
  ranks_here=$(((ranks + host_count - 1) / host_count))
  [[ -z $threads ]] || export OMP_NUM_THREADS=$threads
  threads=$(($(cores) / ranks_here))
  default OMP_NUM_THREADS $((threads > 1 ? threads : 1))
  # Where threads outnumber cores, one that spins while it waits keeps another from working.
  ((ranks_here * OMP_NUM_THREADS <= $(cores))) || default OMP_WAIT_POLICY passive

  if ! is_mpi "$program"; then
    ((ranks == 1)) || say "$(basename "$program") links no MPI: starting it once"
    exec "${limited[@]}" "$program" "$@"
  fi
  have mpirun || fail "mpirun is missing; run:  tandem setup"
  prepare_mpi
  start_ranks "$program" "$@"
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

# find_layer strict|watch: sets that variable to the library to be loaded, of the program's own build, else of the preset's.
find_layer() {
  local -n layer=$1
  layer=$(readlink -f "$(dirname "$program")/../lib/libtandem_$1.so" || true)
  [[ -f $layer ]] || layer=$root/build/$preset/lib/libtandem_$1.so
  [[ -f $layer ]] || misuse "run: --$1 needs $layer; run:  tandem build --preset $preset tandem_$1"
}

# Scripts and static programs do not show whether they use MPI, nor does Python: they do if ranks were asked for.
is_mpi() {
  local libraries
  if libraries=$(ldd "$1" 2>/dev/null) && [[ $(basename "$1") != python* ]]; then [[ $libraries == *libmpi* ]]; else ((ranks > 1)); fi
}
