// LockedFuncRepository: a function of a kernel repository at the commit that the project has locked.
#include "expect.hpp"
#include "kernels/layer/repository.hpp"

using namespace kernels;

int main() {
    return run_example(run_in_its_folder, [] {
        const layer::LockedFuncRepository repository("kernels-community/activation", "silu_and_mul",
                                                     "kernels.lock");
        std::cout << repository.describe() << '\n';
        expect(repository.entry().dependency.to_string() == "kernels-community/activation@v1",
               "it is the lock's entry");
        expect_error(
            [] { layer::LockedFuncRepository("kernels-community/activation", "silu_and_mul", "no.lock"); },
            "a lock that is not there is an error");
        return 0;
    });
}
