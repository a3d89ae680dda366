// LocalLayerRepository: a layer of a kernel in a folder, such as one that is being written.
#include "expect.hpp"
#include "kernels/hub/cache.hpp"
#include "kernels/layer/resolve.hpp"

using namespace kernels;
using layer::LocalLayerRepository;

int main() {
    const LocalLayerRepository repository("../kernels/nowhere/", "RMSNorm");
    std::cout << repository.describe() << '\n';
    expect(repository == LocalLayerRepository("../kernels/nowhere", "RMSNorm"), "equal by path and name");
    const hub::Cache cache("unused");
    const auto target = build::Target::parse("torch=2.13,cpu,os=linux");
    expect_error([&] { layer::resolve(repository, target, cache); },
                 "whether it exists shows when it is used");
}
