# Sourced by examples/demo.sh and tests/run.sh: installs what is missing and builds. Second runs only check.
#
# Environment:
#   LIBTORCH       a libtorch >= 2.9 to build against (a libtorch folder or .../site-packages/torch); default: torch from
#                  PyPI in the project's own virtual environment, .venv
#   PYTHON         the Python that makes .venv (default: python3)
#   CMAKE_BUILD_PARALLEL_LEVEL   compile jobs (default: the number of cores)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
torch_version=2.13.0
# What the contract tests compare with, and the formatter whose output the tree is in.
peer_packages="kernels==0.17.2 huggingface_hub==2.4.0 transformers==5.24.0 numpy"
format_package="clang-format==14.0.6"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

debian_packages="build-essential cmake ninja-build ccache git python3 python3-venv python3-dev libcli11-dev
    libcurl4-openssl-dev nlohmann-json3-dev libtomlplusplus-dev libspdlog-dev libssl-dev doctest-dev
    libcpp-httplib-dev zlib1g-dev nghttp2-proxy"

install_packages() {
    local missing="" package
    command -v dpkg-query >/dev/null || fail "this machine has no dpkg: packages cannot be looked up" \
        "install what these Debian packages hold, then use the CMake presets: $(echo $debian_packages)"
    for package in $debian_packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "installing packages:$missing"
    local sudo=""
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            sudo="sudo"
        else
            fail "packages are missing and cannot be installed without root" "as root: apt-get install$missing"
        fi
    fi
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 ||
        fail "the packages could not be installed" "install them by hand: apt-get install$missing"
}

# pip_install NAME PACKAGES...: into .venv, once for each list of packages.
pip_install() {
    local stamp="$root/.venv/installed-$1" wanted
    shift
    wanted="$*"
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return 0
    if [ ! -x "$root/.venv/bin/python" ]; then
        say "making the virtual environment .venv"
        "${PYTHON:-python3}" -m venv "$root/.venv" || fail "python3 -m venv failed" "install python3-venv"
    fi
    say "installing into .venv: $wanted"
    "$root/.venv/bin/python" -m pip install -q --disable-pip-version-check $wanted >&2 ||
        fail "pip could not install: $wanted" "is there a network, and room on the disk?"
    printf '%s' "$wanted" > "$stamp"
}

# Sets libtorch, and python: a Python with torch (the one of .venv, or PYTHON when LIBTORCH is given and has it).
find_torch() {
    if [ -n "${LIBTORCH:-}" ]; then
        libtorch="$LIBTORCH"
        [ -f "$libtorch/include/torch/script.h" ] ||
            fail "LIBTORCH=$libtorch: no libtorch there (include/torch/script.h is missing)"
        python="${PYTHON:-python3}"
        "$python" -c 'import torch' 2>/dev/null || { pip_install torch "torch==$torch_version"; python="$root/.venv/bin/python"; }
    else
        pip_install torch "torch==$torch_version"
        python="$root/.venv/bin/python"
        libtorch=$("$python" -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')
    fi
}

# build PRESET [CMAKE-ARGUMENTS...]: several sources at a time in one compiler, which halves the time of a build from
# nothing (for work on a few sources, configure build folders of your own without that); with build_command="nice -n 19" the compilers leave the cores to what runs beside them.
build() {
    local preset="$1"
    shift
    say "building (preset $preset)"
    cmake --preset "$preset" -DCMAKE_UNITY_BUILD=ON "$@" > "$root/build/configure-$preset.log" 2>&1 ||
        { tail -n 30 "$root/build/configure-$preset.log" >&2; fail "cmake could not configure the preset $preset"; }
    ${build_command:-} cmake --build --preset "$preset" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" >&2 || fail "the build failed"
}

cd "$root" || exit 1
mkdir -p "$root/build"
