#include "finished_class.hpp"

#include <algorithm>
#include <set>

#include "tokens.hpp"

namespace kernels::source {
namespace {

using Members = std::map<std::string, ClassMember>;

constexpr std::size_t longest_descent = 20;
constexpr int most_bases = 200;  // visits: a class that is reached on two ways counts twice
constexpr const char* too_many_bases = "has too many base classes";

bool is_nn_module(const std::string& path) {
    return path == "Module" || path.ends_with(".Module");
}

// Reads the statements that define names: those of a class body.
class Body {
  public:
    Body(const Package& package, const Module& module) : m_package(package), m_module(module) {}

    Members members;
    std::vector<std::string> untold;

    void block(const Block& statements, const std::string& condition) {
        for (const auto& statement : statements)
            read(*statement, condition);
    }

  private:
    void doubt(const Statement& statement) {
        untold.push_back("has a statement of its own" + at_line(statement.line));
    }

    void define(const std::string& name, ClassMember member, const std::string& condition) {
        member.module = &m_module;
        if (!condition.empty()) member.undecided = condition;
        members.insert_or_assign(name, std::move(member));
    }

    void target(const Expression& expression, const Expression* value, const Statement& statement,
                const std::string& condition) {
        switch (expression.kind) {
            case Expression::Kind::name: {
                ClassMember member;
                member.line = statement.line;
                member.value = value;
                if (value == nullptr)
                    member.undecided = "its value" + at_line(statement.line) + " is no constant";
                define(expression.text, std::move(member), condition);
                break;
            }
            case Expression::Kind::tuple:
            case Expression::Kind::list:
            case Expression::Kind::star: {
                // Of `a, b = 1, 2` each name has its own value.
                const bool pairs =
                    value != nullptr && expression.kind != Expression::Kind::star &&
                    (value->kind == Expression::Kind::tuple || value->kind == Expression::Kind::list) &&
                    value->parts.size() == expression.parts.size() &&
                    std::none_of(expression.parts.begin(), expression.parts.end(),
                                 [](const auto& part) { return part->kind == Expression::Kind::star; });
                for (std::size_t i = 0; i < expression.parts.size(); ++i)
                    target(expression.part(i), pairs ? &value->part(i) : nullptr, statement, condition);
                break;
            }
            default:
                doubt(statement);
        }
    }

    // A name that an expression binds (`:=`), and calls that may bind any.
    void expressions(const Statement& statement) {
        bool binds = false;
        for (const auto& value : statement.values) {
            for_each_expression(*value, [&](const Expression& expression) {
                static const std::set<std::string> writers = {"exec", "eval", "locals", "vars", "setattr"};
                binds = binds ||
                        expression.is(Expression::Kind::unsupported, "an assignment within an expression") ||
                        (expression.kind == Expression::Kind::name && writers.contains(expression.text));
            });
        }
        if (binds) doubt(statement);
    }

    void remove(const Expression& expression, const Statement& statement, const std::string& condition) {
        if (expression.kind == Expression::Kind::tuple) {
            for (const auto& part : expression.parts)
                remove(*part, statement, condition);
        } else if (const auto known = members.find(expression.text);
                   expression.kind == Expression::Kind::name && known != members.end()) {
            if (condition.empty()) {
                members.erase(known);
            } else {
                known->second.undecided = condition;
            }
        } else {
            doubt(statement);
        }
    }

    void read(const Statement& statement, const std::string& condition) {
        if (statement.kind != Stmt::class_) expressions(statement);
        const std::string here = "it is bound in a block" + at_line(statement.line);
        ClassMember member;
        member.line = statement.line;
        switch (statement.kind) {
            case Stmt::function:
                member.function = &statement;
                define(statement.text, std::move(member), condition);
                break;
            case Stmt::class_:
                define(statement.text, std::move(member), condition);
                break;
            case Stmt::import:
            case Stmt::from_import:
                member.undecided = "it is imported" + at_line(statement.line);
                for (const auto& alias : statement.names)
                    define(alias.as.empty() ? alias.name.substr(0, alias.name.find('.')) : alias.as, member,
                           condition);
                break;
            case Stmt::assign:
                for (std::size_t i = 0; i + 1 < statement.values.size(); ++i)
                    target(statement.value(i), statement.values.back().get(), statement, condition);
                break;
            case Stmt::annotate:
                if (statement.values.size() == 3)
                    target(statement.value(0), &statement.value(2), statement, condition);
                break;
            case Stmt::augment:
                target(statement.value(0), nullptr, statement, condition);
                break;
            case Stmt::delete_:
                if (!statement.values.empty()) remove(statement.value(0), statement, condition);
                break;
            case Stmt::if_: {
                const Truth test = truth(m_package, m_module, statement.value(0));
                const std::string why = "it depends on a condition" + at_line(statement.line);
                const std::string inner = test.kind == Truth::Kind::unknown ? why : condition;
                if (test.kind != Truth::Kind::no) block(statement.body, inner);
                if (test.kind != Truth::Kind::yes) block(statement.otherwise, inner);
                break;
            }
            case Stmt::for_:
                target(statement.value(0), nullptr, statement, here);
                [[fallthrough]];
            case Stmt::while_:
            case Stmt::try_:
            case Stmt::with:
                // The reader of statements keeps no names of `with … as`.
                if (statement.kind == Stmt::with && !statement.text.empty()) doubt(statement);
                block(statement.body, here);
                block(statement.otherwise, here);
                block(statement.handlers, here);
                break;
            case Stmt::unsupported:
                doubt(statement);
                break;
            default:
                break;
        }
    }

    const Package& m_package;
    const Module& m_module;
};

// A class of the package, or (without statement) torch.nn.Module.
struct Ancestor {
    const Module* module = nullptr;
    const Statement* statement = nullptr;
    bool operator==(const Ancestor&) const = default;
};

// The order in which Python looks through a class and its bases; nothing when they have none. `below` are the
// classes on the way to it.
std::vector<Ancestor> ancestors(const Package& package, const Ancestor& of, std::vector<std::string>& untold,
                                int& budget, std::vector<Ancestor>& below) {
    const auto tell = [&](const std::string& what) {
        if (std::find(untold.begin(), untold.end(), what) == untold.end()) untold.push_back(what);
    };
    if (std::find(below.begin(), below.end(), of) != below.end()) {
        tell("has the base class " + of.statement->text + ", which is among its own base classes");
        return {of};
    }
    if (--budget < 0 || below.size() > longest_descent) {
        budget = 0;
        tell(too_many_bases);
        return {of};
    }
    std::vector<std::vector<Ancestor>> lists;
    std::vector<Ancestor> bases;
    if (of.statement != nullptr) {
        for (const auto& base : of.statement->values) {
            const std::string name = dotted(*base);
            const Symbol found = resolve(package, *of.module, *base);
            const std::string path = found.kind == Symbol::Kind::external ? found.path
                                     : found.kind == Symbol::Kind::none   ? name
                                                                          : "";
            if (found.kind == Symbol::Kind::class_ && found.statement != of.statement) {
                bases.push_back({found.module, found.statement});
            } else if (is_nn_module(path) &&
                       (found.kind == Symbol::Kind::none || path.starts_with("torch."))) {
                bases.push_back({});
            } else if (path != "object") {
                const std::string what = name.empty() ? "of line " + std::to_string(base->line) : name;
                tell("has the base class " + what +
                     (found.kind == Symbol::Kind::undecided ? ", which cannot be told: " + found.path
                                                            : ", whose members cannot be told"));
            }
        }
    }
    below.push_back(of);
    for (const auto& base : bases)
        lists.push_back(ancestors(package, base, untold, budget, below));
    below.pop_back();
    lists.push_back(bases);
    std::vector<Ancestor> order{of};
    for (;;) {
        std::erase_if(lists, [](const auto& list) { return list.empty(); });
        if (lists.empty()) return order;
        // The first head that stands behind no other's.
        const auto next = std::find_if(lists.begin(), lists.end(), [&](const auto& list) {
            return std::none_of(lists.begin(), lists.end(), [&](const auto& other) {
                return std::find(other.begin() + 1, other.end(), list.front()) != other.end();
            });
        });
        if (next == lists.end()) {
            tell("has base classes in no order that Python takes");
            return order;
        }
        const Ancestor chosen = next->front();
        order.push_back(chosen);
        for (auto& list : lists) {
            if (list.front() == chosen) list.erase(list.begin());
        }
    }
}

}  // namespace

Members attributes_set(const Package& package, const std::vector<const Module*>& modules,
                       const Statement& owner) {
    Members found;
    std::set<const Module*> seen;
    for (const auto* module : modules) {
        if (!seen.insert(module).second) continue;
        const auto owned = [&](const Expression& expression) {
            return expression.kind == Expression::Kind::attribute &&
                   resolve(package, *module, expression.part(0)).statement == &owner;
        };
        std::set<const Statement*> plain;
        for (const auto& statement : module->body)
            plain.insert(statement.get());
        const auto set = [&](const std::string& name, const Statement& statement, const Expression* value) {
            ClassMember member;
            member.module = module;
            member.line = statement.line;
            member.value = value;
            if (!plain.contains(&statement))
                member.undecided = "it is set in a block" + at_line(statement.line);
            else if (value == nullptr)
                member.undecided = "it is changed" + at_line(statement.line);
            found.insert_or_assign(name, std::move(member));
        };
        // The bodies of functions run later, if at all.
        const auto walk = [&](const auto& self, const Block& block) -> void {
            for (const auto& statement : block) {
                if (statement->kind == Stmt::function || statement->kind == Stmt::class_) continue;
                const auto& values = statement->values;
                const bool assigns = statement->kind == Stmt::assign ||
                                     (statement->kind == Stmt::annotate && values.size() == 3);
                const std::size_t targets = statement->kind == Stmt::assign ? values.size() - 1 : 1;
                for (std::size_t i = 0; assigns && i < targets; ++i) {
                    const bool plain_target = values[i]->kind == Expression::Kind::attribute;
                    for_each_expression(*values[i], [&](const Expression& one) {
                        if (owned(one) && (!plain_target || &one == values[i].get()))
                            set(one.text, *statement, plain_target ? values.back().get() : nullptr);
                    });
                }
                if (statement->kind == Stmt::augment || statement->kind == Stmt::delete_) {
                    for_each_expression(*values.front(), [&](const Expression& one) {
                        if (owned(one)) set(one.text, *statement, nullptr);
                    });
                }
                if (statement->kind == Stmt::expression && values.front()->kind == Expression::Kind::call) {
                    const Expression& call = *values.front();
                    const std::string callee = dotted(call.part(0));
                    if ((callee == "setattr" || callee == "delattr") && call.parts.size() >= 3 &&
                        resolve(package, *module, call.part(1)).statement == &owner) {
                        const bool named = call.part(2).kind == Expression::Kind::string;
                        set(named ? call.part(2).text : callee + at_line(statement->line), *statement,
                            callee == "setattr" && call.parts.size() == 4 ? &call.part(3) : nullptr);
                    }
                }
                for (const auto* inner : {&statement->body, &statement->otherwise, &statement->handlers})
                    self(self, *inner);
            }
        };
        walk(walk, module->body);
    }
    return found;
}

FinishedClass finish_class(const Package& package, const Module& from, const Symbol& definition) {
    FinishedClass finished;
    const Ancestor own{definition.module, definition.statement};
    int budget = most_bases;
    std::vector<Ancestor> below;
    const auto order = ancestors(package, own, finished.untold, budget, below);
    finished.is_module = std::find(order.begin(), order.end(), Ancestor{}) != order.end();
    std::vector<const Module*> modules;
    for (const auto& ancestor : order) {
        if (ancestor.module != nullptr) modules.push_back(ancestor.module);
    }
    modules.push_back(&from);
    bool after_module = false;
    for (const auto& ancestor : order) {
        if (ancestor == Ancestor{}) {
            after_module = true;
            continue;
        }
        const std::string inherited = ancestor == own ? "" : ancestor.statement->text;
        const std::string suffix = inherited.empty() ? "" : " (of its base class " + inherited + ")";
        for (const auto& decorator : ancestor.statement->decorators) {
            const Expression& callee =
                decorator->kind == Expression::Kind::call ? decorator->part(0) : *decorator;
            finished.untold.push_back("has the decorator @" + dotted(callee) + suffix);
        }
        Body body(package, *ancestor.module);
        body.block(ancestor.statement->body, "");
        for (auto& doubt : body.untold)
            finished.untold.push_back(doubt + suffix);
        for (auto& [name, member] : attributes_set(package, modules, *ancestor.statement))
            body.members.insert_or_assign(name, std::move(member));
        if (!inherited.empty() && body.members.contains("__init_subclass__"))
            finished.untold.push_back("has the base class " + inherited + ", which changes its subclasses");
        for (auto& [name, member] : body.members) {
            if (after_module && module_has(name)) continue;
            member.inherited = inherited;
            finished.members.emplace(name, std::move(member));
        }
    }
    return finished;
}

}  // namespace kernels::source
