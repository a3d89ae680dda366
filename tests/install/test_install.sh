#!/usr/bin/env bash
# Installs the build tree and builds somebody else's project against it.
# Usage: test_install.sh BUILD CONSUMER-SOURCE LIBTORCH (empty: the light part only)
set -eu
build=$1 source=$2 libtorch=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" > "$work/install.log"
"$work/prefix/bin/kernels" --version
! ldd "$work/prefix/bin/kernels" | grep -E 'libtorch|libc10|libpython' || { echo "kernels links libtorch or Python"; exit 1; }
test -f "$work/prefix/share/man/man1/kernels.1"
test -f "$work/prefix/share/man/man7/kernels-verify.7"
cmake -S "$source" -B "$work/light" -DCMAKE_PREFIX_PATH="$work/prefix" > "$work/configure.log"
cmake --build "$work/light"
"$work/light/light"
[ -n "$libtorch" ] || exit 0
cmake -S "$source" -B "$work/deploy" -DWITH_TORCH=ON -DCMAKE_PREFIX_PATH="$work/prefix;$libtorch" > "$work/configure.log"
cmake --build "$work/deploy"
# The runtime must be linked although nothing but one function refers to it, and the helper must be found from an installation.
readelf -d "$work/deploy/deploy" | grep -q libkernels_runtime
"$work/deploy/layers"
"$work/deploy/deploy" "$work/none.pt" "$work/none.pt" 2>"$work/stderr" && exit 1
grep -q "no such file" "$work/stderr"
"$work/prefix/bin/kernels" inspect "$work/none.pt" 2>"$work/stderr" && exit 1
grep -q "none.pt: no such file" "$work/stderr"
