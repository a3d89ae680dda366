#include "package.hpp"

#include <algorithm>
#include <set>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

namespace fs = std::filesystem;

constexpr int longest_chain = 30;  // of imports that lead to one another
constexpr std::size_t most_modules = 1000;

// Binds the names of a block of the module.
class Binder {
  public:
    explicit Binder(Module& module) : m_module(module) {}

    void block(const Block& statements, const std::string& condition) {
        for (const auto& statement : statements)
            bind(*statement, condition);
    }

  private:
    void set(const std::string& name, Module::Binding binding) {
        const auto known = m_module.bindings.find(name);
        binding.rebound = known != m_module.bindings.end();
        // Where one of several bindings depends on something, so does the name.
        if (known != m_module.bindings.end() && binding.condition.empty() &&
            !known->second.condition.empty()) {
            if (known->second.statement->line > binding.statement->line)
                binding.condition = known->second.condition;
        }
        m_module.bindings.insert_or_assign(name, std::move(binding));
    }

    void bind_targets(const Expression& target, const Statement& statement, const Expression& value,
                      const std::string& condition) {
        if (target.kind == Expression::Kind::name) {
            // `f = f` changes nothing.
            if (statement.kind != Stmt::augment && value.is(Expression::Kind::name, target.text)) return;
            set(target.text, {&statement, 0, &value, condition});
        } else if (target.kind == Expression::Kind::attribute) {
            constexpr std::size_t most_attributes = 1000;
            if (m_module.set_attributes.size() == most_attributes) {
                refuse(m_module.file, statement.line,
                       "the file sets more than " + std::to_string(most_attributes) + " attributes");
            }
            m_module.set_attributes.push_back({&target.part(0), target.text, statement.line});
        } else if (target.kind == Expression::Kind::tuple) {
            for (const auto& part : target.parts)
                bind_targets(*part, statement, value,
                             "it is one of several values that are assigned at once");
        }
    }

    void bind(const Statement& statement, const std::string& condition) {
        switch (statement.kind) {
            case Stmt::function:
            case Stmt::class_:
                set(statement.text, {&statement, 0, nullptr, condition});
                break;
            case Stmt::import:
            case Stmt::from_import:
                if (!statement.names.empty() && statement.names[0].name == "*")
                    m_module.star_imports.push_back(&statement);
                for (std::size_t i = 0; i < statement.names.size(); ++i) {
                    const auto& alias = statement.names[i];
                    const std::string name =
                        alias.as.empty() ? alias.name.substr(0, alias.name.find('.')) : alias.as;
                    set(name, {&statement, i, nullptr, condition});
                }
                break;
            case Stmt::assign:
                for (std::size_t i = 0; i + 1 < statement.values.size(); ++i)
                    bind_targets(statement.value(i), statement, *statement.values.back(), condition);
                break;
            case Stmt::annotate:
                if (statement.values.size() == 3)
                    bind_targets(statement.value(0), statement, statement.value(2), condition);
                break;
            case Stmt::augment:
                bind_targets(statement.value(0), statement, statement.value(1),
                             "it is changed while the module is imported");
                break;
            case Stmt::if_: {
                const std::string test = dotted(statement.value(0));
                if (test == "TYPE_CHECKING" || test == "typing.TYPE_CHECKING") {
                    block(statement.otherwise, condition);
                    break;
                }
                const std::string why = "it depends on a condition at line " + std::to_string(statement.line);
                block(statement.body, why);
                block(statement.otherwise, why);
                break;
            }
            case Stmt::try_:
                try_(statement, condition);
                break;
            case Stmt::for_:
            case Stmt::while_:
            case Stmt::with:
                block(statement.body, "it is bound in a block at line " + std::to_string(statement.line));
                break;
            default:
                break;
        }
    }

    // Of what is imported one way or the other, the first way counts. What else the block binds stands on its
    // imports.
    void try_(const Statement& statement, const std::string& condition) {
        Module handlers;
        Binder(handlers).block(statement.handlers, "it is bound where an import fails");
        std::string unsure = condition;
        for (const auto* inner : {&statement.body, &statement.otherwise}) {
            for (const auto& one : *inner) {
                const bool imports = one->kind == Stmt::import || one->kind == Stmt::from_import;
                const bool defines = one->kind == Stmt::function || one->kind == Stmt::class_;
                const bool certain = imports || (defines && !handlers.bindings.contains(one->text));
                bind(*one, certain ? condition : unsure);
                if (imports && unsure.empty() && may_be_absent(*one)) {
                    unsure = "it depends on whether the import at line " + std::to_string(one->line) +
                             " finds its module";
                }
            }
        }
        m_module.bindings.merge(handlers.bindings);
    }

    // Modules that come with Python, with torch or with the package are there.
    static bool may_be_absent(const Statement& import) {
        static const std::set<std::string> there = {
            "__future__",  "abc",     "collections", "contextlib", "copy",
            "dataclasses", "enum",    "functools",   "importlib",  "inspect",
            "itertools",   "logging", "math",        "numbers",    "operator",
            "os",          "pathlib", "random",      "re",         "sys",
            "time",        "torch",   "types",       "typing",     "typing_extensions",
            "warnings"};
        const auto absent = [](const std::string& name) {
            return !name.starts_with('.') && !there.contains(name.substr(0, name.find('.')));
        };
        if (import.kind == Stmt::from_import) return absent(import.text);
        return std::any_of(import.names.begin(), import.names.end(),
                           [&](const auto& alias) { return absent(alias.name); });
    }

    Module& m_module;
};

// "..b" in the module a.c.d → "a.b" ; nothing when it leads out of the package.
std::optional<std::string> absolute(const Module& module, const std::string& relative) {
    std::size_t dots = relative.find_first_not_of('.');
    if (dots == std::string::npos) dots = relative.size();
    std::string base = module.name;
    for (std::size_t up = module.is_package ? 1 : 0; up < dots; ++up) {
        if (base.empty()) return std::nullopt;
        const auto dot = base.rfind('.');
        base.resize(dot == std::string::npos ? 0 : dot);
    }
    const std::string rest = relative.substr(dots);
    return base.empty() ? rest : rest.empty() ? base : base + "." + rest;
}

// The last line of a statement, as far as it holds words.
int end_of(const Statement& statement) {
    int end = statement.line;
    const auto reach = [&](const auto& part) { end = std::max(end, part.line); };
    for (const auto& value : statement.values)
        for_each_expression(*value, reach);
    for (const auto* block : {&statement.body, &statement.otherwise, &statement.handlers}) {
        for_each_statement(*block, reach);
        for_each_expression(*block, reach);
    }
    return end;
}

// "outer.inner" of the definitions around the line; a class is no function, and only part of a name.
std::string function_around(const Block& block, int line) {
    for (const auto& statement : block) {
        if (statement->line > line || end_of(*statement) < line) continue;
        for (const auto* inner : {&statement->body, &statement->otherwise, &statement->handlers}) {
            const std::string name = function_around(*inner, line);
            const bool named = statement->kind == Stmt::function || statement->kind == Stmt::class_;
            if (!name.empty()) return named ? statement->text + "." + name : name;
        }
        return statement->kind == Stmt::function ? statement->text : "";
    }
    return {};
}

bool is_ops_module(const std::string& name) {
    return name == "_ops" || name.ends_with("._ops");
}

Symbol symbol(Symbol::Kind kind, std::string path, int line) {
    Symbol made;
    made.kind = kind;
    made.path = std::move(path);
    made.line = line;
    return made;
}

}  // namespace

Package::Package(const fs::path& folder)
    : m_name(folder.filename().string()),
      m_reader([folder](const std::string& file) -> std::optional<std::string> {
          std::error_code none;
          if (!fs::is_regular_file(folder / file, none)) return std::nullopt;
          if (fs::file_size(folder / file, none) > largest_file)
              refuse(file, 1, "the file is larger than " + std::to_string(largest_file >> 20U) + " MiB");
          return read_file(folder / file);
      }) {}

const Module* Package::module(const std::string& name) const {
    if (const auto known = m_modules.find(name); known != m_modules.end()) return known->second.get();
    if (m_modules.size() >= most_modules) {
        throw Error(ErrorCode::kernelize,
                    m_name + ": the layers need more than " + std::to_string(most_modules) + " modules");
    }
    std::string base = name;
    std::replace(base.begin(), base.end(), '.', '/');
    const std::string package_file = base.empty() ? "__init__.py" : base + "/__init__.py";
    for (const auto& file : {package_file, base.empty() ? std::string() : base + ".py"}) {
        const auto text = file.empty() ? std::nullopt : m_reader(file);
        if (!text) continue;
        auto made = std::make_unique<Module>();
        made->name = name;
        made->file = file;
        made->is_package = file == package_file;
        made->body = parse(*text, file);
        Binder(*made).block(made->body, "");
        return m_modules.emplace(name, std::move(made)).first->second.get();
    }
    m_modules.emplace(name, nullptr);
    return nullptr;
}

Symbol Package::lookup(const Module& module, const std::string& name) const {
    return lookup(module, name, 0);
}

Symbol Package::imported(const Module& module, const Statement& import, std::size_t alias) const {
    return imported(module, import, alias, 0);
}

Symbol Package::lookup(const Module& module, const std::string& name, int depth) const {
    if (depth > longest_chain)
        refuse(module.file, 1, "the imports of " + backquoted(name) + " lead in a circle");
    const auto found = module.bindings.find(name);
    if (found == module.bindings.end()) {
        for (const auto* star : module.star_imports) {
            const auto from = star->text.starts_with('.') ? absolute(module, star->text) : std::nullopt;
            const Module* source = from ? this->module(*from) : nullptr;
            if (source == nullptr || source == &module) continue;
            if (Symbol made = lookup(*source, name, depth + 1); made.kind != Symbol::Kind::none) return made;
        }
        return {};
    }
    const auto& binding = found->second;
    if (!binding.condition.empty())
        return symbol(Symbol::Kind::undecided, binding.condition, binding.statement->line);
    if (std::string why = set_from_outside(module, name, depth); !why.empty())
        return symbol(Symbol::Kind::undecided, std::move(why), binding.statement->line);
    Symbol made;
    made.module = &module;
    made.statement = binding.statement;
    made.line = binding.statement->line;
    switch (binding.statement->kind) {
        case Stmt::function:
            made.kind = Symbol::Kind::function;
            return made;
        case Stmt::class_:
            made.kind = Symbol::Kind::class_;
            return made;
        case Stmt::import:
        case Stmt::from_import:
            return imported(module, *binding.statement, binding.alias, depth + 1);
        default:
            break;
    }
    made.kind = Symbol::Kind::value;
    made.value = binding.value;
    return made;
}

// `module.name = …` in another file that was read.
std::string Package::set_from_outside(const Module& module, const std::string& name, int depth) const {
    // What the owner of an attribute is does not depend on attributes that are set.
    static thread_local bool asking = false;
    if (asking) return {};
    struct Asking {
        Asking() { asking = true; }
        ~Asking() { asking = false; }
        Asking(const Asking&) = delete;
        Asking& operator=(const Asking&) = delete;
    };
    const Asking once;
    for (const auto& [other_name, other] : m_modules) {
        if (!other || other.get() == &module) continue;
        for (const auto& set : other->set_attributes) {
            if (set.name != name) continue;
            const std::string owner = dotted(*set.owner);
            if (owner.empty() || depth > longest_chain) continue;
            const auto names = split(owner, '.');
            Symbol found = lookup(*other, std::string(names.front()), depth + 1);
            for (std::size_t i = 1; i < names.size(); ++i)
                found = attribute(found, std::string(names[i]));
            if (found.kind == Symbol::Kind::module && found.module == &module)
                return "it is set at " + other->file + ":" + std::to_string(set.line);
        }
    }
    return {};
}

Symbol Package::imported(const Module& module, const Statement& import, std::size_t alias, int depth) const {
    const auto& [name, as] = import.names[alias];
    if (import.kind == Stmt::import) {
        return symbol(Symbol::Kind::external, as.empty() ? name.substr(0, name.find('.')) : name,
                      import.line);
    }
    std::string from = import.text;
    const std::string& own_name = m_name;
    if (!own_name.empty() && (from == own_name || from.starts_with(own_name + "."))) {
        // The package by its full name.
        from = from == own_name ? std::string() : from.substr(own_name.size() + 1);
        if (this->module(from) != nullptr || is_ops_module(from))
            return member(from, name, import.line, depth);
    }
    if (!import.text.starts_with('.'))
        return symbol(Symbol::Kind::external, import.text + "." + name, import.line);
    const auto target = absolute(module, import.text);
    if (!target) refuse(module.file, import.line, backquoted(import.text) + " leads out of the package");
    if (*target == module.name && !is_ops_module(module.name)) {
        // `from . import x` in the package itself: x is the file.
        const std::string inner = target->empty() ? name : *target + "." + name;
        Symbol made = symbol(is_ops_module(inner) ? Symbol::Kind::ops_module : Symbol::Kind::module, inner,
                             import.line);
        made.module = made.kind == Symbol::Kind::module ? this->module(inner) : nullptr;
        if (made.kind == Symbol::Kind::module && made.module == nullptr) made.kind = Symbol::Kind::external;
        return made;
    }
    return member(*target, name, import.line, depth);
}

Symbol Package::member(const std::string& module, const std::string& name, int line, int depth) const {
    if (is_ops_module(module)) {
        return symbol(name == "ops" ? Symbol::Kind::ops : Symbol::Kind::external, module + "." + name, line);
    }
    const std::string inner = module.empty() ? name : module + "." + name;
    if (is_ops_module(inner)) return symbol(Symbol::Kind::ops_module, inner, line);
    if (const Module* source = this->module(module)) {
        Symbol made = lookup(*source, name, depth + 1);
        if (made.kind != Symbol::Kind::none) return made;
    }
    Symbol made = symbol(Symbol::Kind::module, inner, line);
    made.module = this->module(inner);
    return made.module != nullptr ? made : symbol(Symbol::Kind::external, inner, line);
}

Symbol Package::attribute(const Symbol& of, const std::string& name) const {
    switch (of.kind) {
        case Symbol::Kind::module:
            return member(of.module->name, name, of.line, 0);
        case Symbol::Kind::ops_module:
            return member(of.path, name, of.line, 0);
        case Symbol::Kind::external:
            return symbol(Symbol::Kind::external, of.path + "." + name, of.line);
        default:
            return {};
    }
}

std::string Package::function_at(const std::string& file, int line) const {
    for (const auto& [name, module] : m_modules) {
        if (module && module->file == file) return function_around(module->body, line);
    }
    return {};
}

}  // namespace kernels::source
