// FuncRepository: a function of a kernel's package, in place of a layer.
#include "expect.hpp"
#include "kernels/layer/repository.hpp"

using namespace kernels;
using layer::FuncRepository;

int main() {
    const FuncRepository repository("kernels-community/activation", "silu_and_mul", KernelVersion{1});
    std::cout << repository.describe() << '\n';
    expect(repository.func_name() == "silu_and_mul", "it names a function");
    const layer::Repository any = repository;
    expect(layer::is_function(any), "a mapping holds functions and layers alike");
    expect(any != layer::Repository(layer::LayerRepository("kernels-community/activation", "silu_and_mul",
                                                           KernelVersion{1})),
           "a function is no layer of the same name");
}
