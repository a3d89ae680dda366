// register_kernel_mapping: the mapping of the process.
#include "expect.hpp"
#include "kernels/layer/mapping.hpp"

using namespace kernels;
using layer::KernelMapping;
using layer::LayerRepository;
using layer::Mode;

int main() {
    layer::register_kernel_mapping(
        {{"RMSNorm", "cuda", LayerRepository("org/layer-norm", "RMSNorm", KernelVersion{1})},
         {"Attention",
          "cuda",
          {{Mode::training, LayerRepository("org/training", "Attention", KernelVersion{1})},
           {Mode::inference, LayerRepository("org/inference", "FastAttention", KernelVersion{1})}}}});
    layer::register_kernel_mapping(
        {{"RMSNorm", "cpu", LayerRepository("org/cpu", "RMSNorm", KernelVersion{2})}});
    expect(layer::current_kernel_mapping().entries("RMSNorm").size() == 2,
           "registering again extends the mapping");
    // What is put at a place takes the place of all modes that were there.
    layer::register_kernel_mapping(
        {{"Attention",
          "cuda",
          {{Mode::training, LayerRepository("org/new", "Attention", KernelVersion{1})}}}});
    expect(layer::current_kernel_mapping().entries("Attention").front().repositories.find(Mode::inference) ==
               nullptr,
           "a place is replaced as a whole");
    const bool inherit_mapping = false;
    layer::register_kernel_mapping({{"Gate", "cpu", LayerRepository("org/gate", "Gate", KernelVersion{1})}},
                                   inherit_mapping);
    expect(layer::current_kernel_mapping().layer_names() == std::vector<std::string>{"Gate"},
           "without inheriting, what was there is erased");
}
