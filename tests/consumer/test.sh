#!/bin/sh
# test.sh BUILD [CXX FLAGS]: installs BUILD into a folder of its own, builds the consumer against it, and checks what it says.
set -eu
here=$(dirname "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake --install "$1" --prefix "$folder/prefix" >"$folder/log" || { cat "$folder/log"; exit 1; }
cmake -S "$here" -B "$folder/build" -G Ninja -DCMAKE_PREFIX_PATH="$folder/prefix" -DCMAKE_CXX_FLAGS="${2:-}" --log-level=WARNING >/dev/null
cmake --build "$folder/build" >"$folder/log" || { cat "$folder/log"; exit 1; }
"$folder/build/consumer" >"$folder/said"
printf '640 = sum of x W^T, gradient 4 6\n16 parameters\na peak of 0.15\nring\n' | diff - "$folder/said"

# No installed file may name the tree it was built in.
if grep -rlF -e "$(readlink -f "$here/../..")" "$folder/prefix" --include='*.cmake' --include='*.hpp'; then
  echo "the files above name the source tree"
  exit 1
fi
