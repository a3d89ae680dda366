// use_kernel_mapping: another mapping until the end of a block.
#include <stdexcept>
#include <thread>

#include "expect.hpp"
#include "kernels/layer/mapping.hpp"

using namespace kernels;
using layer::KernelMapping;

namespace {

KernelMapping mapping(const std::string& layer) {
    return {{layer, "cpu", layer::LayerRepository("org/kernel", layer, KernelVersion{1})}};
}

std::size_t layers() {
    return layer::current_kernel_mapping().layer_names().size();
}

}  // namespace

int main() {
    layer::register_kernel_mapping(mapping("Norm"));
    try {
        const auto extended = layer::use_kernel_mapping(mapping("Gate"));
        expect(layers() == 2, "a scope extends the mapping");
        const auto alone = layer::use_kernel_mapping(mapping("Attention"), false);
        expect(layers() == 1, "or replaces it, in a scope of its own inside");
        std::size_t seen = 0;
        std::thread([&seen] { seen = layers(); }).join();
        expect(seen == 1 && layer::current_kernel_mapping().find("Norm") == nullptr,
               "another thread sees the mapping of the process");
        throw std::runtime_error("something went wrong");
    } catch (const std::runtime_error&) {
        expect(layers() == 1 && layer::current_kernel_mapping().find("Norm") != nullptr,
               "however the block ends, the mapping is what it was");
    }
}
