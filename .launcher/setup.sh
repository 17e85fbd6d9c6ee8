# shellcheck shell=bash
# What Tandem needs from this machine: setup installs it, doctor looks for it.

# The one list of Debian (or Ubuntu) packages.
packages=(cmake ninja-build g++ ccache
          libopenmpi-dev openmpi-bin libeigen3-dev libfmt-dev libcli11-dev nlohmann-json3-dev
          libstb-dev zlib1g-dev doctest-dev libbenchmark-dev
          gnuplot-nox python3 curl unzip ca-certificates)

missing_packages() {
  have dpkg-query || return 0  # another system: its own packages may do, CMake will tell
  comm -13 <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | sed -n 's/ installed$//p' | sort -u) \
           <(printf '%s\n' "${packages[@]}" | sort)
}

#? setup
#?   Installs the Debian packages that Tandem needs and this machine lacks.
#?   It uses sudo unless you are root, and changes nothing when nothing is missing.
do_setup() {
  exit_on_help "$@"
  local missing sudo=()
  have apt-get || fail "no apt-get here; install what Debian calls: ${packages[*]}"
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || { say "all ${#packages[@]} packages are installed"; return; }
  ((EUID == 0)) || sudo=(sudo)
  say "installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Cores this process may use: those of its affinity mask, but no more than a container's share of processor time.
cores() {
  local n quota period
  n=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  if read -r quota period 2>/dev/null </sys/fs/cgroup/cpu.max && [[ $quota != max ]]; then
    quota=$(((quota + period - 1) / period))
    n=$((quota < n ? quota : n))
  fi
  echo "$n"
}
free_disk() { df --output=avail -m "$1" 2>/dev/null | awk 'END {print $1 + 0}'; }    # megabytes
free_memory() { awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo; }        # megabytes
instruction_set() {
  local flag
  for flag in avx512f avx2; do grep -qwm1 $flag /proc/cpuinfo && { echo "$flag"; return; }; done
  uname -m
}

#? doctor
#?   Checks what Tandem needs and prints, for each thing that is missing, the line that mends it.
#?   The exit code is 1 if anything is missing.
do_doctor() {
  exit_on_help "$@"
  local lacks=0 sudo="" package missing cmake compiler=${CXX:-c++} shm disk memory
  ((EUID == 0)) || sudo="sudo "
  missing=$(missing_packages)
  cmake=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p' || true)
  shm="$(free_disk /dev/shm) MB free" disk=$(free_disk "$root") memory=$(free_memory)
  ((${shm%% *} >= enough_shm)) || shm+="; below $enough_shm, so ranks share memory in ${TMPDIR:-/tmp}: right, but slower"

  have dpkg-query && for package in "${packages[@]}"; do
    check "$package" "$(version_of "$package")" "tandem setup" not_among "$package" "$missing"
  done
  check "compiler" "$compiler $("$compiler" -dumpfullversion 2>/dev/null), from 12" "${sudo}apt-get install g++-12 && export CXX=g++-12" \
    at_least 12 "$("$compiler" -dumpversion 2>/dev/null)"
  check "CMake" "$cmake, from 3.25" "${sudo}apt-get install pipx && pipx install cmake" at_least 3.25 "$cmake"
  check "two ranks" "$(mpirun --version 2>/dev/null | head -n 1)" "${sudo}apt-get install --reinstall openmpi-bin libopenmpi3" two_ranks
  check "disk" "$disk MB free, from 2000" "rm -r $root/build/*   # or free some elsewhere" at_least 2000 "$disk"
  check "memory" "$memory MB free, from 1000" "close something, or give a virtual machine more" at_least 1000 "$memory"
  check "/dev/shm" "$shm" "" true
  check "cores" "$(cores) with $(instruction_set)" "" true
  check "threads a rank" "${OMP_NUM_THREADS:-cores / ranks}" "" true
  return "$lacks"
}

# check NAME FOUND MENDING-LINE TEST...
check() {
  if "${@:4}" >/dev/null 2>&1; then printf 'ok       %-20s %s\n' "$1" "$2"
  else printf 'missing  %-20s mend it with:  %s\n' "$1" "$3"; lacks=1; fi
}
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true; }
not_among() { ! grep -qx -- "$1" <<<"$2"; }
at_least() { [[ -n $2 ]] && printf '%s\n' "$1" "$2" | sort -CV; }
two_ranks() (ranks=2 host_count=1 ranks_here=2 freeze_limit=0 strict="" watch="" options=() limited=(); prepare_mpi; start_ranks true)
