// The layers and functions of a kernel repository, found in its Python source.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "package.hpp"

namespace kernels::source {

/// A `def` of a package.
struct FunctionSource {
    std::shared_ptr<const Package> package;  ///< keeps the rest alive
    const Module* module = nullptr;
    const Statement* definition = nullptr;
    bool method = false;    ///< the first parameter is self
    bool context = false;   ///< the first parameter is the ctx of an autograd function
    bool autograd = false;  ///< the forward of an autograd function

    const std::string& name() const { return definition->text; }
    const std::string& file() const { return module->file; }
    int line() const { return definition->line; }
    /// Without self; *args and **kwargs count as one each.
    std::size_t argument_count() const { return definition->parameters.size() - (method ? 1 : 0); }
    /// What TorchScript has no parameter for: "takes x by position only", "takes any number of arguments
    /// (*x)". Empty when there is none such.
    std::string unfit_parameter() const;
};

/// A layer class.
struct LayerSource {
    FunctionSource forward;
    bool has_backward = true;
    bool can_torch_compile = false;
    /// It leads to an autograd function, whose backward is Python: TorchScript cannot call that.
    bool python_backward = false;
    /// The rules for hub layers that it breaks: a constructor, state, further members, a base that is no
    /// Module.
    std::vector<std::string> violations;
    /// The attributes that forward reads from self without asking for them by hasattr or getattr first.
    std::set<std::string> attributes;

    struct Use {
        bool training = false;
        bool torch_compile = false;
    };
    /// What forbids the layer in such a use: "has the further member size" in any, "has no backward" by its
    /// flags. They must allow what the layer is mapped for as well, as the Python client has it. Empty when
    /// nothing forbids it.
    std::string unfit_for(Use use, Use mapped) const;
};

/// `layers` of a build variant, or the package itself.
class HubModule {
  public:
    /// Reads `layers` (or, with `package`, the package's __init__.py). Throws Error(kernelize) when there is
    /// none or it is no Python, with file and line.
    static HubModule load(const std::filesystem::path& variant_folder, bool package);

    /// The same of a package that is no folder; nothing when it has no such file.
    static std::optional<HubModule> read(std::shared_ptr<Package> files, bool package);

    /// The layer class `name`, also by another name (`Fast = Relu`). Throws Error(not_found) with the layers
    /// that exist.
    LayerSource layer(const std::string& name) const;
    /// A function, also one that is imported from another module or has another name (`fast = relu`); nothing
    /// when there is none of that name.
    std::optional<FunctionSource> function(const std::string& name) const;
    /// A function as a layer without state, with the flags that the module sets on it (`f.has_backward =
    /// False`). Throws Error(not_found) with the functions that exist.
    LayerSource function_layer(const std::string& name) const;
    /// The layer classes of this file, in their order.
    std::vector<std::string> layers() const;
    /// The functions of `__all__`, or else those without a leading underscore, imported ones too.
    std::vector<std::string> functions() const;

  private:
    /// Throws Error(not_found) where the name is taken by what is no layer or function.
    void require_told(const Symbol& symbol, const char* what, const std::string& name) const;

    std::shared_ptr<Package> m_package;
    const Module* m_module = nullptr;
};

/// The path of a name outside the package, such as "torch.nn.functional.silu" or "triton.jit"; empty for
/// others.
std::string external_path(const Package& package, const Module& module, const Expression& expression);

/// The forward of an autograd function; nothing when the class is none.
std::optional<FunctionSource> autograd_forward(const FunctionSource& from, const Symbol& symbol);

/// A kernel written in Python that the function leads to: "the Triton kernel _fwd (rope.py:12)"; else empty.
std::string python_kernel_behind(const FunctionSource& function);

}  // namespace kernels::source
