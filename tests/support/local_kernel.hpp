// A kernel in a folder of its own, for tests: its operators are those that the test itself registers.
#pragma once

#include <filesystem>
#include <string>

#include "kernels/core/files.hpp"
#include "kernels/layer/repository.hpp"
#include "temporary_folder.hpp"

namespace kernels::testing {

class LocalKernel {
  public:
    /// `layers` is the text of layers.py, `package` that of __init__.py.
    explicit LocalKernel(const std::string& layers, const std::string& package = "") {
        const auto build = m_folder / "build" / "torch-cpu";
        std::filesystem::create_directories(build);
        write_file(build / "layers.py",
                   "import torch\nimport torch.nn as nn\nfrom ._ops import ops\n\n\n" + layers);
        write_file(build / "__init__.py", "import torch\nfrom ._ops import ops\n\n\n" + package);
        write_file(build / "metadata.json",
                   R"({"id": "kernels_test", "name": "test", "version": 1, "license": "Apache-2.0",
                       "python-depends": [], "backend": {"type": "cpu"}})");
    }
    layer::LocalLayerRepository layer(const std::string& name) const { return {m_folder.path(), name}; }
    layer::LocalFuncRepository function(const std::string& name) const { return {m_folder.path(), name}; }

  private:
    TemporaryFolder m_folder;
};

}  // namespace kernels::testing
