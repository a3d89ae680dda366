// The modules of a kernel's Python package, and what their names stand for.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "syntax.hpp"

namespace kernels::source {

class Package;

/// One file.
struct Module {
    std::string name;  ///< dotted, below the package; empty for the package itself
    std::string file;  ///< relative to the package's folder
    bool is_package = false;
    Block body;

    struct Binding {
        const Statement* statement = nullptr;
        std::size_t alias = 0;              ///< of an import
        const Expression* value = nullptr;  ///< of an assignment
        std::string condition;              ///< when it is not always bound so: why
        bool rebound = false;               ///< the name had another value before
    };
    /// `a.b = …` at the top of the file, which may change another module.
    struct SetAttribute {
        const Expression* owner = nullptr;
        std::string name;
        int line = 0;
    };
    std::map<std::string, Binding> bindings;
    std::vector<const Statement*> star_imports;
    std::vector<SetAttribute> set_attributes;
};

/// What a name stands for.
struct Symbol {
    enum class Kind {
        none,        ///< nothing of that name
        function,    ///< statement of module
        class_,      ///< statement of module
        value,       ///< value, an expression of module
        module,      ///< module
        ops,         ///< the kernel's op namespace
        ops_module,  ///< the module that holds it, which the build writes
        external,    ///< `path`, outside the package: "torch.nn.functional"
        undecided,   ///< path says on what it depends
    };
    Kind kind = Kind::none;
    const Module* module = nullptr;
    const Statement* statement = nullptr;
    const Expression* value = nullptr;
    std::string path;
    int line = 0;
};

/// The package of a build variant. Files are read when they are first asked for.
class Package {
  public:
    /// The text of a file of the package ("ops/norm.py"); nothing when there is none of that name.
    using Reader = std::function<std::optional<std::string>(const std::string& file)>;

    Package(std::string name, Reader reader) : m_name(std::move(name)), m_reader(std::move(reader)) {}
    /// The package in a folder, by whose name its files may call it too.
    explicit Package(const std::filesystem::path& folder);
    Package(const Package&) = delete;
    Package& operator=(const Package&) = delete;

    /// The module of that dotted name; nullptr when there is no such file. Throws Error(kernelize) when it is
    /// no Python.
    const Module* module(const std::string& name) const;

    /// What `name` stands for at the top of `module`, imports followed.
    Symbol lookup(const Module& module, const std::string& name) const;
    /// What one name of an import statement stands for.
    Symbol imported(const Module& module, const Statement& import, std::size_t alias) const;
    /// What `symbol.name` stands for, where symbol is a module.
    Symbol attribute(const Symbol& symbol, const std::string& name) const;

    /// The innermost function around a line of a file that was read, as "Class.method" or "function"; empty
    /// when the line is in none.
    std::string function_at(const std::string& file, int line) const;

  private:
    Symbol lookup(const Module& module, const std::string& name, int depth) const;
    Symbol imported(const Module& module, const Statement& import, std::size_t alias, int depth) const;
    Symbol member(const std::string& module, const std::string& name, int line, int depth) const;
    std::string set_from_outside(const Module& module, const std::string& name, int depth) const;

    std::string m_name;
    Reader m_reader;
    mutable std::map<std::string, std::unique_ptr<Module>> m_modules;  // by dotted name; null: no such file
};

}  // namespace kernels::source
