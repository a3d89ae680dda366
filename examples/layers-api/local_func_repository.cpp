// LocalFuncRepository: a function of a kernel in a folder.
#include "expect.hpp"
#include "kernels/layer/mapping.hpp"

using namespace kernels;

int main() {
    const layer::LocalFuncRepository repository("../kernels/transformer-ops", "rms_norm");
    const layer::KernelMapping mapping{{"RMSNorm", "cpu", repository}};
    std::cout << layer::describe(repository) << '\n';
    expect(mapping.entries("RMSNorm").size() == 1, "it is mapped as a layer is");
    expect(layer::trust_of(repository).everyone, "what lies in a folder of one's own is trusted");
}
