#include "hub_module.hpp"

#include <algorithm>

#include "decorators.hpp"
#include "finished_class.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::source {
namespace {

namespace fs = std::filesystem;

const Statement* method(const Statement& of, const std::string& name) {
    for (const auto& statement : of.body) {
        if (statement->kind == Stmt::function && statement->text == name) return statement.get();
    }
    return nullptr;
}

bool inherits(const Package& package, const Module& module, const Statement& of, const std::string& wanted,
              int depth = 0) {
    constexpr int deepest = 20;
    for (const auto& base : of.values) {
        const std::string name = dotted(*base);
        if (name.empty()) continue;
        const std::string path = external_path(package, module, *base);
        // A name that nothing in the file binds is taken by its last part, as in snippets without imports.
        const std::string last = wanted.substr(wanted.rfind('.') + 1);
        const bool last_fits = name == last || name.ends_with("." + last) || path.ends_with("." + last);
        if (last_fits && (path.empty() || path.starts_with("torch."))) return true;
        if (const auto known = package.lookup(module, name);
            known.kind == Symbol::Kind::class_ && depth < deepest && known.statement != &of &&
            inherits(package, *known.module, *known.statement, wanted, depth + 1)) {
            return true;
        }
    }
    return false;
}

// A flag of a layer or function; what cannot be told becomes a violation.
void read_flag(const Package& package, const std::map<std::string, ClassMember>& members,
               const std::string& name, bool& flag, std::vector<std::string>& violations) {
    const auto known = members.find(name);
    if (known == members.end()) return;
    const ClassMember& member = known->second;
    Truth value{Truth::Kind::yes, {}};  // a function or class
    if (!member.undecided.empty()) {
        value = {Truth::Kind::unknown, member.undecided};
    } else if (member.value != nullptr) {
        value = truth(package, *member.module, *member.value);
    }
    flag = value.kind == Truth::Kind::yes;
    if (value.kind == Truth::Kind::unknown)
        violations.push_back("has a " + name + " that cannot be told: " + value.why);
}

void read_members(const FinishedClass& finished, std::vector<std::string>& violations) {
    std::vector<std::pair<int, std::string>> found;
    for (const auto& [name, member] : finished.members) {
        const std::string of =
            member.inherited.empty() ? "" : " (of its base class " + member.inherited + ")";
        if (name == "__init__") {
            const std::string value = member.value != nullptr ? dotted(*member.value) : "";
            if (value.ends_with("nn.Module.__init__") && member.undecided.empty()) continue;
            found.emplace_back(member.line, "has a constructor" + of);
        } else if (name != "has_backward" && name != "can_torch_compile" && !module_has(name)) {
            found.emplace_back(member.line, (member.function != nullptr ? "has the further method "
                                                                        : "has the further member ") +
                                                name + of);
        }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [line, text] : found)
        violations.push_back(std::move(text));
}

// Names that the code asks for by hasattr(self, "x") or getattr(self, "x", default).
std::set<std::string> asked_for(const Block& body, const std::string& self) {
    std::set<std::string> names;
    for_each_expression(body, [&](const Expression& expression) {
        if (expression.kind != Expression::Kind::call || expression.parts.size() < 3) return;
        const std::string callee = dotted(expression.part(0));
        if ((callee == "hasattr" || (callee == "getattr" && expression.parts.size() == 4)) &&
            expression.part(1).is(Expression::Kind::name, self)) {
            names.insert(expression.part(2).text);
        }
    });
    return names;
}

// The functions of the package that a function names in its body.
std::vector<FunctionSource> functions_named_in(const FunctionSource& function) {
    std::vector<FunctionSource> found;
    const auto follow = [&](const Symbol& symbol) {
        try {
            if (symbol.kind == Symbol::Kind::function) {
                found.push_back({function.package, symbol.module, symbol.statement});
            } else if (auto forward = autograd_forward(function, symbol)) {
                found.push_back(std::move(*forward));
            }
        } catch (const Error&) {
            // Not what is asked here; whoever compiles it says so.
        }
    };
    std::map<std::string, Symbol> local;
    for_each_statement(function.definition->body, [&](const Statement& statement) {
        if (statement.kind != Stmt::from_import) return;
        for (std::size_t i = 0; i < statement.names.size(); ++i)
            local[statement.names[i].as] = function.package->imported(*function.module, statement, i);
    });
    const auto symbol_of = [&](const std::string& name) {
        const auto known = local.find(name);
        return known != local.end() ? known->second : function.package->lookup(*function.module, name);
    };
    for_each_expression(function.definition->body, [&](const Expression& expression) {
        if (expression.kind == Expression::Kind::name) {
            const Symbol symbol = symbol_of(expression.text);
            // `f = F.apply`
            const bool alias = symbol.kind == Symbol::Kind::value &&
                               symbol.value->kind == Expression::Kind::attribute &&
                               symbol.value->part(0).kind == Expression::Kind::name;
            follow(alias ? function.package->lookup(*symbol.module, symbol.value->part(0).text) : symbol);
        }
        if (expression.kind != Expression::Kind::attribute) return;
        // `kernels.ops.scatter`: from the name on, module by module.
        const std::string path = dotted(expression);
        if (path.empty()) return;
        const auto names = split(path, '.');
        Symbol symbol = symbol_of(std::string(names.front()));
        for (std::size_t i = 1; i < names.size(); ++i)
            symbol = function.package->attribute(symbol, std::string(names[i]));
        follow(symbol);
    });
    return found;
}

// Calls visit for the function and all that it leads to.
template <typename Visit>
void for_each_function(const FunctionSource& function, const Visit& visit) {
    constexpr std::size_t most_functions = 2000;
    std::vector<FunctionSource> waiting{function};
    std::set<const Statement*> seen{function.definition};
    while (!waiting.empty() && seen.size() < most_functions) {
        const FunctionSource one = waiting.back();
        waiting.pop_back();
        visit(one);
        if (!kernel_language(one).empty()) continue;
        for (auto& next : functions_named_in(one)) {
            if (seen.insert(next.definition).second) waiting.push_back(std::move(next));
        }
    }
}

// Whether the function, or one that it calls, leads to an autograd function.
bool calls_autograd_function(const FunctionSource& function) {
    bool found = false;
    for_each_function(function, [&](const FunctionSource& one) { found = found || one.autograd; });
    return found;
}

}  // namespace

std::string FunctionSource::unfit_parameter() const {
    for (std::size_t i = method ? 1 : 0; i < definition->parameters.size(); ++i) {
        const auto& parameter = definition->parameters[i];
        if (parameter.positional_only) return "takes " + parameter.name + " by position only";
        if (parameter.stars == 1) return "takes any number of arguments (*" + parameter.name + ")";
    }
    return {};
}

std::string LayerSource::unfit_for(Use use, Use mapped) const {
    constexpr std::size_t most = 8;  // of a thousand the first ones say enough
    if (violations.size() > most) {
        return join(std::span(violations).first(most), ", ") + " and " +
               std::to_string(violations.size() - most) + " more";
    }
    if (!violations.empty()) return join(violations, ", ");
    if (use.training && !has_backward) return "has no backward";
    if (use.training && python_backward)
        return "has its backward in a Python autograd function, which TorchScript does not run";
    if (use.torch_compile && !can_torch_compile) return "cannot be used with torch.compile";
    if (mapped.training && !has_backward) return "has no backward, though it is mapped for training";
    if (mapped.torch_compile && !can_torch_compile)
        return "cannot be used with torch.compile, though it is mapped for that";
    return {};
}

HubModule HubModule::load(const fs::path& folder, bool package) {
    fs::path root = folder;
    std::error_code none;
    if (!fs::exists(root / "__init__.py", none)) {
        // Older builds hold the package in a folder of its own.
        std::vector<fs::path> inner;
        for (const auto& entry : fs::directory_iterator(folder, none)) {
            if (fs::exists(entry.path() / "__init__.py", none)) inner.push_back(entry.path());
        }
        if (inner.size() == 1 && inner.front().filename() != "layers") root = inner.front();
    }
    if (auto module = read(std::make_shared<Package>(root), package)) return *module;
    throw Error(ErrorCode::kernelize,
                folder.string() + ": the kernel has no " +
                    (package ? "__init__.py" : "layers.py or layers/__init__.py"),
                package ? "it defines no functions" : "it defines no layers");
}

std::optional<HubModule> HubModule::read(std::shared_ptr<Package> files, bool package) {
    HubModule module;
    module.m_package = std::move(files);
    module.m_module = module.m_package->module(package ? "" : "layers");
    return module.m_module != nullptr ? std::optional(module) : std::nullopt;
}

void HubModule::require_told(const Symbol& symbol, const char* what, const std::string& name) const {
    const std::string subject = std::string(": ") + what + " " + backquoted(name);
    const auto own = m_module->bindings.find(name);
    const bool bound = own != m_module->bindings.end() && own->second.statement != nullptr;
    const std::string here =
        m_module->file + (bound ? ":" + std::to_string(own->second.statement->line) : "") + subject;
    if (symbol.kind == Symbol::Kind::undecided)
        throw Error(ErrorCode::not_found, here + " cannot be told: " + symbol.path);
    // Of that name there is something else.
    if (symbol.kind == Symbol::Kind::external)
        throw Error(ErrorCode::not_found, here + " is " + symbol.path + ", which is not the kernel's own");
    if (symbol.kind == Symbol::Kind::value || symbol.kind == Symbol::Kind::function ||
        symbol.kind == Symbol::Kind::class_) {
        const char* kind = symbol.kind == Symbol::Kind::value      ? "a value"
                           : symbol.kind == Symbol::Kind::function ? "a function"
                                                                   : "a class";
        throw Error(ErrorCode::not_found, m_module->file + subject + " is " + kind + " (" +
                                              symbol.module->file + ":" + std::to_string(symbol.line) + ")");
    }
}

std::vector<std::string> HubModule::layers() const {
    std::vector<std::string> names;
    for (const auto& statement : m_module->body) {
        if (statement->kind != Stmt::class_ ||
            !inherits(*m_package, *m_module, *statement, "torch.nn.Module")) {
            continue;
        }
        // What further down may stand for another class is named here, and refused with its reason by
        // layer().
        const Symbol known = m_package->lookup(*m_module, statement->text);
        const bool again = std::find(names.begin(), names.end(), statement->text) != names.end();
        if (!again && (known.statement == statement.get() || known.kind == Symbol::Kind::undecided))
            names.push_back(statement->text);
    }
    return names;
}

std::vector<std::string> HubModule::functions() const {
    std::set<std::string> names;
    const auto all = m_module->bindings.find("__all__");
    if (all != m_module->bindings.end() && all->second.value != nullptr) {
        for (const auto& part : all->second.value->parts)
            names.insert(part->text);
    } else {
        for (const auto& [name, binding] : m_module->bindings) {
            if (!name.starts_with('_')) names.insert(name);
        }
    }
    std::vector<std::string> found;
    for (const auto& name : names) {
        if (named(*m_package, *m_module, name).kind == Symbol::Kind::function) found.push_back(name);
    }
    return found;
}

LayerSource HubModule::layer(const std::string& name) const {
    const Symbol known = named(*m_package, *m_module, name);
    if (known.kind != Symbol::Kind::class_) {
        require_told(known, "the layer", name);
        std::vector<std::string> all = layers();
        const auto hint = did_you_mean(name, all);
        throw Error(ErrorCode::not_found, m_module->file + ": there is no layer " + backquoted(name),
                    !hint.empty() ? hint
                    : all.empty() ? "it defines no layers"
                                  : "it defines " + join(all, ", "));
    }
    LayerSource layer;
    const FinishedClass finished = finish_class(*m_package, *m_module, known);
    if (!finished.is_module && finished.untold.empty())
        layer.violations.emplace_back("is no torch.nn.Module");
    layer.violations.insert(layer.violations.end(), finished.untold.begin(), finished.untold.end());
    read_members(finished, layer.violations);
    read_flag(*m_package, finished.members, "has_backward", layer.has_backward, layer.violations);
    read_flag(*m_package, finished.members, "can_torch_compile", layer.can_torch_compile, layer.violations);
    const auto member = finished.members.find("forward");
    if (member == finished.members.end()) {
        layer.violations.emplace_back("has no forward of its own");
        return layer;
    }
    const Module* module = member->second.module;
    const Statement* forward = member->second.function;
    if (member->second.value != nullptr) {
        // `forward = f`
        const Symbol value = resolve(*m_package, *module, *member->second.value);
        module = value.module;
        forward = value.kind == Symbol::Kind::function ? value.statement : nullptr;
    }
    if (forward == nullptr || !member->second.undecided.empty()) {
        layer.violations.push_back("has a forward that cannot be told" +
                                   (member->second.undecided.empty() ? "" : ": " + member->second.undecided));
        return layer;
    }
    layer.forward = {m_package, module, forward, true, false};
    const std::string self = forward->parameters.empty() ? "" : forward->parameters.front().name;
    const auto asked = asked_for(forward->body, self);
    for_each_expression(forward->body, [&](const Expression& expression) {
        if (expression.kind == Expression::Kind::attribute &&
            expression.part(0).is(Expression::Kind::name, self) && !asked.contains(expression.text)) {
            layer.attributes.insert(expression.text);
        }
    });
    layer.python_backward = calls_autograd_function(layer.forward);
    return layer;
}

LayerSource HubModule::function_layer(const std::string& name) const {
    const auto known = function(name);
    if (!known) {
        require_told(named(*m_package, *m_module, name), "the function", name);
        const auto all = functions();
        const auto hint = did_you_mean(name, all);
        throw Error(ErrorCode::not_found, "the kernel's package has no function " + backquoted(name),
                    !hint.empty() || all.empty() ? hint : "it defines " + join(all, ", "));
    }
    LayerSource layer;
    layer.forward = *known;
    const auto set = attributes_set(*m_package, {known->module, m_module}, *known->definition);
    read_flag(*m_package, set, "has_backward", layer.has_backward, layer.violations);
    read_flag(*m_package, set, "can_torch_compile", layer.can_torch_compile, layer.violations);
    layer.python_backward = calls_autograd_function(layer.forward);
    return layer;
}

std::optional<FunctionSource> HubModule::function(const std::string& name) const {
    const Symbol known = named(*m_package, *m_module, name);
    if (known.kind != Symbol::Kind::function) return std::nullopt;
    return FunctionSource{m_package, known.module, known.statement, false, false};
}

std::string external_path(const Package& package, const Module& module, const Expression& expression) {
    const std::string path = dotted(expression);
    if (path.empty()) return {};
    const auto dot = path.find('.');
    const Symbol root = package.lookup(module, path.substr(0, dot));
    if (root.kind != Symbol::Kind::external) return {};
    return root.path + (dot == std::string::npos ? "" : path.substr(dot));
}

std::optional<FunctionSource> autograd_forward(const FunctionSource& from, const Symbol& symbol) {
    if (symbol.kind != Symbol::Kind::class_) return std::nullopt;
    if (!inherits(*from.package, *symbol.module, *symbol.statement, "torch.autograd.Function"))
        return std::nullopt;
    const Statement* forward = method(*symbol.statement, "forward");
    if (forward == nullptr) {
        throw Error(ErrorCode::kernelize, symbol.module->file + ":" + std::to_string(symbol.line) +
                                              ": the autograd function " + symbol.statement->text +
                                              " has no forward");
    }
    // With setup_context, forward has no ctx.
    return FunctionSource{
        from.package, symbol.module, forward, false, method(*symbol.statement, "setup_context") == nullptr,
        true};
}

std::string python_kernel_behind(const FunctionSource& function) {
    std::string found;
    for_each_function(function, [&](const FunctionSource& one) {
        const std::string language = found.empty() ? kernel_language(one) : "";
        if (language.empty()) return;
        found = "the " + language + " kernel " + one.name() + " (" + one.file() + ":" +
                std::to_string(one.line()) + ")";
    });
    return found;
}

}  // namespace kernels::source
