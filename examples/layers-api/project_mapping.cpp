// mapping_of: the same mapping from a project file (kernels.toml in this folder).
#include "expect.hpp"
#include "kernels/layer/selection.hpp"

using namespace kernels;

int main() {
    return run_example(run_in_its_folder, [] {
        const auto mapping = layer::mapping_of(project::load("."));
        for (const auto& entry : mapping.entries()) {
            for (const auto& [mode, repository] : entry.repositories.all())
                std::cout << entry.layer << " on " << entry.device.to_string() << " for " << mode.to_string()
                          << ": " << layer::describe(repository) << '\n';
        }
        const auto scope = layer::use_kernel_mapping(mapping);
        const auto chosen =
            layer::select(layer::current_kernel_mapping(), "SiluAndMul", "cpu", {}, layer::Mode::inference)
                .chosen;
        expect(chosen->repository == layer::Repository(layer::LockedLayerRepository(
                                         "kernels-community/activation", "SiluAndMul")),
               "an entry without version is the project's locked one");
        return 0;
    });
}
