#!/usr/bin/env bash
# The main job, end to end, on the embedded demo hub: lock a project, download the builds that fit this machine, rewrite a
# scripted and a traced model, and run both results in fresh processes against the originals.
# Everything it makes is below build/demo. Usage: examples/demo.sh
set -u
. "$(dirname "$0")/../cmake/setup.sh"

install_packages
find_torch
build release -DKERNELS_TORCH=ON -DCMAKE_PREFIX_PATH="$libtorch"

bin="$root/build/release/apps"
work="$root/build/demo"
rm -rf "$work" && mkdir -p "$work/models" && cp -r "$root/examples/project" "$work/project" || fail "cannot write to $work"
export PATH="$bin/kernels:$PATH" HF_HOME="$work/huggingface" KERNELS_TORCH
# The demo computes on the processor, whatever this torch is built for besides.
KERNELS_TORCH="$("$python" -c 'import torch; print(torch.__version__.split("+")[0])')+cpu" || fail "torch cannot be imported"
unset HF_TOKEN HF_HUB_CACHE KERNELS_CACHE HF_HUB_OFFLINE LOCAL_KERNELS DISABLE_KERNEL_MAPPING
cd "$work" || exit 1

# step COMMAND...: shows the command as a user would type it, then runs it.
step() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@" || fail "the step failed: $*"
}

"$bin/kernels-hub/kernels-hub" "$root/build/release/examples/demo-hub" --port 0 --ready-file "$work/hub-url" > /dev/null &
hub=$!
trap 'kill $hub 2>/dev/null' EXIT
for _ in $(seq 100); do [ -s "$work/hub-url" ] && break; sleep 0.05; done
[ -s "$work/hub-url" ] || fail "the demo hub did not start"
export HF_ENDPOINT
HF_ENDPOINT=$(cat "$work/hub-url")
echo "The demo hub serves build/release/examples/demo-hub on $HF_ENDPOINT"

step kernels lock project
step kernels download project
step "$python" "$root/examples/models/make_models.py" models
for model in scripted traced; do
    step kernels kernelize "models/$model.pt" -o "models/$model.kernelized.pt" --project project --device cpu \
        --mode inference
    step kernels run "models/$model.kernelized.pt" --input models/input.pt --reference "models/$model.pt"
done

runtime=$(echo "$root"/build/release/lib/runtime/libkernels_runtime.so)
cat > load.py <<'PY'
import sys
import torch

runtime, kernelized, original, example = sys.argv[1:]
torch.ops.load_library(runtime)
torch.ops.kernels.load(kernelized)
x = torch.load(example)
with torch.no_grad():
    difference = (torch.jit.load(kernelized)(x) - torch.jit.load(original)(x)).abs().max().item()
print(f"Python: largest difference {difference:.3g}")
sys.exit(difference > 1e-4)
PY
step "$python" load.py "$runtime" models/scripted.kernelized.pt models/scripted.pt models/input.pt
step "$python" load.py "$runtime" models/traced.kernelized.pt models/traced.pt models/input.pt
echo
echo "Done: the project, its kernels.lock and the models are in build/demo."
