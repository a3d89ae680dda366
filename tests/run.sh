#!/usr/bin/env bash
# Builds everything and runs all the tests: unit and end-to-end tests of the release build, contract tests against the
# Python clients, the light parts under ASan and UBSan, and the format check.
# Usage: tests/run.sh [ctest arguments for the release run]
set -u
. "$(dirname "$0")/../cmake/setup.sh"

install_packages
find_torch
# The Python client chooses by the torch that it imports, and the demo hub's kernels are for the processor.
"$python" -c 'import sys, torch; sys.exit(bool(torch.version.cuda or torch.version.hip))' ||
    fail "the tests need a torch for the CPU alone, and this one is for a GPU" \
        "rm -r .venv, name PyTorch's index of CPU builds in PIP_EXTRA_INDEX_URL, and run this again (examples/demo.sh takes any torch)"
pip_install peer $peer_packages
pip_install format $format_package

say "checking the format"
git ls-files -co --exclude-standard '*.cpp' '*.hpp' | xargs -r "$root/.venv/bin/clang-format" --dry-run -Werror ||
    fail "the format differs" "clang-format -i (version 14) with the .clang-format of this tree"

# Many tests wait for a server or a process of theirs, so more of them than cores keep the cores busy; those of the
# sanitized build do so beside the release build, which takes what they leave.
jobs=$(($(nproc) + 2))
status=0
build asan
say "tests under ASan and UBSan, and beside them the release build"
ctest --preset asan -j "$jobs" > "$root/build/asan-tests.log" 2>&1 &
sanitized=$!
trap 'kill "$sanitized" 2>/dev/null' EXIT
build_command="nice -n 19"
build release -DKERNELS_TORCH=ON -DCMAKE_PREFIX_PATH="$libtorch" -DKERNELS_PEER_PYTHON="$root/.venv/bin/python"
wait "$sanitized" || status=1
trap - EXIT
cat "$root/build/asan-tests.log"
say "tests of the release build"
ctest --preset release -j "$jobs" "$@" || status=1
[ $status = 0 ] || fail "tests failed"
say "all tests passed"
