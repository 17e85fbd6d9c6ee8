# shellcheck shell=bash
# From source to programs, and the runs that everybody makes: build, test, demo, bench.

# Splits a leading --preset NAME off the arguments; the others become ${rest[@]}.
take_preset() {
  case ${1:-} in
    --preset) preset=${2:-}; shift; shift || true ;;
    --preset=*) preset=${1#*=}; shift ;;
  esac
  rest=("$@")
  check_preset
}
check_preset() {
  local known
  known=$(sed -n 's/.*"binaryDir": "build\/\(.*\)".*/\1/p' "$root/CMakePresets.json")
  grep -qx -- "$preset" <<<"$known" || misuse "no preset '$preset'; there are: ${known//$'\n'/ }"
}

#? build [--preset NAME] [TARGET...]
#?   Compiles into build/NAME; before that, installs missing packages and configures when needed.
#?   Presets: release (default, or $TANDEM_PRESET), debug, asan, tsan, double, avx2; see CMakePresets.json.
#?   $TANDEM_CMAKE_ARGS goes to CMake.
#?     tandem build
#?     tandem build --preset debug classify
#?     TANDEM_CMAKE_ARGS=-DTANDEM_WERROR=ON tandem build
do_build() {
  exit_on_help "$@"
  take_preset "$@"; set -- "${rest[@]}"
  [[ -z $(missing_packages) ]] || do_setup
  local folder=$root/build/$preset jobs gigabytes arguments
  if [[ ! -f $folder/build.ninja || -n ${TANDEM_CMAKE_ARGS:-} ]]; then
    read -ra arguments <<<"${TANDEM_CMAKE_ARGS:-}"
    cmake -S "$root" --preset "$preset" --log-level=WARNING "${arguments[@]}" >/dev/null
  fi
  # Without a folder that it may write, ccache fails instead of compiling.
  mkdir -p "$(ccache -k cache_dir 2>/dev/null)" 2>/dev/null || export CCACHE_DISABLE=1
  # A compiler that reads Eigen takes up to a gigabyte.
  jobs=$(cores) gigabytes=$(($(free_memory) / 1024))
  jobs=$((gigabytes < 1 ? 1 : gigabytes < jobs ? gigabytes : jobs))
  # One build at a time in a folder: two would write into each other's files.
  if [[ -t 1 ]]; then flock "$folder" ninja -C "$folder" -j "$jobs" "$@"; return; fi  # a terminal gets ninja's moving line
  flock "$folder" ninja -C "$folder" -j "$jobs" "$@" | sed -u '/^ninja: \(Entering\|no work\)/d; /Re-checking globbed/d'
}

#? test [--preset NAME] [CTEST ARGUMENTS...]
#?   Builds and runs the tests, shows the output of those that fail, closes with ctest's summary.
#?     tandem test
#?     tandem test -R parallel             those whose name contains "parallel"
#?     tandem test --preset asan
do_test() {
  exit_on_help "$@"
  take_preset "$@"; set -- "${rest[@]}"
  do_build --preset "$preset"
  CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(cores)} ctest --test-dir "$root/build/$preset" --output-on-failure "$@"
}

#? demo [--out DIR] [--data DIR] [--ranks N] [--no-open] [CLASSIFY ARGUMENTS...]
#?   From nothing to a result: trains a satellite-image classifier on two ranks and writes a report, then compares all parallel schemes.
#?   It installs and builds first. The images are those of DIR (a folder of class folders), else EuroSAT if `tandem data
#?   eurosat` has fetched it, else made-up tiles that need no download.
#?     tandem demo                         writes out/demo/report.html and schemes.html and shows them
#?     tandem demo --no-open --out /tmp/demo --epochs 1
do_demo() {
  exit_on_help "$@"
  local out=$root/out/demo data="" ranks=2 show=1 others=() page
  while (($#)); do
    case $1 in
      --out) out=${2:-}; shift ;;
      --data) data=${2:-}; shift ;;
      --ranks) ranks=${2:-}; shift ;;
      --no-open) show=0 ;;
      *) others+=("$1") ;;
    esac
    shift || misuse "demo: the last option wants a value"
  done
  [[ -n $data || ! -d $data_home/eurosat ]] || data=$data_home/eurosat
  # Half the epochs of a serious run, where there are many images: within three minutes on two cores.
  [[ -z $data || " ${others[*]} " == *" --epochs"* ]] || others+=(--epochs 8)
  mkdir -p "$out"
  do_build classify compare
  do_run -n "$ranks" classify ${data:+--data "$data"} --report "$out/report.html" --json "$out/result.json" "${others[@]}"
  echo
  do_run -n "$ranks" compare --quick --model even --html "$out/schemes.html" --json "$out/schemes.json"
  for page in report schemes; do
    echo "$page: $(readlink -f "$out/$page.html")"
    if ((show)) && [[ -n ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]] && have xdg-open; then xdg-open "$out/$page.html" || say "no browser opened it"; fi
  done
}

# Name, on how many ranks it runs unless told otherwise, what it measures. The program has the same name.
benchmarks() { cat <<'TABLE'
peers          1  our training step against PyTorch's: same network, same threads
allreduce      2  our allreduce algorithms against MPI_Allreduce, by message size
data_parallel  2  two ranks that train together against two that train alone
compare        2  every parallel scheme on one model: time, speed-up, messages, memory; predicted and measured
spatial        4  memory and time of a U-Net on one large image that four ranks share
kernels        1  convolutions, matrix products and passes over memory, against the peak and other libraries
TABLE
}

#? bench [NAME [-n RANKS] [--quick] [--json FILE] [ARGUMENTS...]]
#?   Runs one benchmark, or lists them.
#?     tandem bench allreduce --quick --json allreduce.json
do_bench() {
  exit_on_help "$@"
  (($#)) || { benchmarks | sed -E 's/[0-9]  //'; return; }
  local name=$1 ranks; shift
  ranks=$(benchmarks | awk -v name="$name" '$1 == name {print $2}')
  [[ -n $ranks ]] || misuse "no benchmark '$name'; there are: $(benchmarks | cut -d' ' -f1 | paste -sd' ')"
  if [[ $name == peers ]]; then
    [[ " $* " == *" --help "* || " $* " == *" -h "* ]] || do_build train_step
    exec python3 "$root/benchmarks/peers/peers.py" "$@"
  fi
  if [[ ${1:-} == -n ]]; then ranks=${2:-}; shift; shift || true; fi
  do_build "$name"
  do_run -n "$ranks" "$name" "$@"
}
