// LockedLayerRepository: a layer of a kernel repository at the commit that the project has locked.
#include "expect.hpp"
#include "kernels/layer/repository.hpp"

using namespace kernels;
using layer::LockedLayerRepository;

int main() {
    return run_example(run_in_its_folder, [] {
        // Without a path the lock is that of the project around the current directory: here this folder's.
        const LockedLayerRepository repository("kernels-community/activation", "SiluAndMul");
        std::cout << repository.describe() << '\n';
        expect(repository.entry().commit.to_string() == std::string(40, '1'), "the commit is the lock's");
        expect(
            repository == LockedLayerRepository("kernels-community/activation", "SiluAndMul", "kernels.lock"),
            "equal when what the locks say is");
        expect_error([] { LockedLayerRepository("kernels-community/rmsnorm", "RMSNorm"); },
                     "what is not locked is an error");
        return 0;
    });
}
