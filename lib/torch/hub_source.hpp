// The Python source of a kernel repository's layers, read far enough for TorchScript's compiler.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kernels::torchscript {

/// A `def` as TorchScript's parser takes it.
struct FunctionSource {
    std::string text;  ///< without indentation, decorators and docstring
    std::string file;
    int line = 0;  ///< of the `def`
    /// The forward of an autograd function stands in place of its call: the backward is lost.
    bool from_autograd = false;
};

/// A layer class.
struct LayerSource {
    FunctionSource forward;
    bool has_backward = true;
    bool can_torch_compile = false;
    /// The rules for hub layers that it breaks: a constructor, state, further members, a base that is no
    /// Module.
    std::vector<std::string> violations;
};

/// One module of a build variant: layers.py, layers/__init__.py, or the package itself.
class HubModule {
  public:
    /// Reads the source of `layers` (or of the package with `package`). Throws Error(kernelize) when there is
    /// none.
    static HubModule load(const std::filesystem::path& variant_folder, bool package);

    /// The layer class `name`: its forward, with calls of autograd functions replaced by their own forwards.
    /// Throws Error(not_found) with the layers that exist, and Error(kernelize) with file and line for what
    /// cannot be lowered.
    LayerSource layer(const std::string& name) const;
    /// A function of the module; nothing when there is none of that name.
    std::optional<FunctionSource> function(const std::string& name) const;
    /// The value of `NAME = <number>` at the top of the module.
    std::optional<double> number(const std::string& name) const;
    std::vector<std::string> classes() const;

  private:
    std::vector<std::string> m_lines;
    std::string m_file;
};

}  // namespace kernels::torchscript
