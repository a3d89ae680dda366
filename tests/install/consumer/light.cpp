// The light library alone: no libtorch in sight.
#include <array>
#include <iostream>

#include "kernels/build/selection.hpp"
#include "kernels/core/reference.hpp"

int main() {
    const std::array variants = {kernels::build::BuildVariant::parse("torch212-cxx11-cpu-x86_64-linux"),
                                 kernels::build::BuildVariant::parse("torch213-cxx11-cpu-x86_64-linux")};
    const auto target = kernels::build::Target::parse("torch=2.13,cpu=x86_64,os=linux");
    const auto selection = kernels::build::select(variants, target);
    if (selection.best() == nullptr) return 1;
    std::cout << selection.best()->to_string() << "\n";
    return selection.best()->to_string() == "torch213-cxx11-cpu-x86_64-linux" ? 0 : 1;
}
