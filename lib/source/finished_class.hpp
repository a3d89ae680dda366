// What Python makes of a class: its own statements, those of its base classes, and what the module does to it
// afterwards.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "package.hpp"

namespace kernels::source {

struct Truth {
    enum class Kind { no, yes, unknown };
    Kind kind = Kind::unknown;
    std::string why;  ///< of unknown
};

/// Whether a value of a module is true, as far as constants tell.
Truth truth(const Package& package, const Module& module, const Expression& value);

/// What an expression of names and attributes stands for at the top of a module, aliases followed.
Symbol resolve(const Package& package, const Module& module, const Expression& expression);

/// What `name` stands for at the top of a module, where `name = other` and `name = a.b` are other names for
/// what they say. Undecided where such names lead in a circle, or to what gets another value further down.
Symbol named(const Package& package, const Module& module, const std::string& name);

struct ClassMember {
    const Module* module = nullptr;
    int line = 0;
    const Statement* function = nullptr;  ///< a `def`
    const Expression* value = nullptr;    ///< what is assigned; null for a class, an import, …
    std::string undecided;                ///< why it cannot be told which one it is; else empty
    std::string inherited;                ///< the base class that has it; empty for the class's own
};

struct FinishedClass {
    bool is_module = false;                      ///< a torch.nn.Module
    std::map<std::string, ClassMember> members;  ///< by name, without what torch.nn.Module itself gives
    std::vector<std::string> untold;             ///< what may change the class in ways that cannot be told
};

/// `from` is the module through which the class is found.
FinishedClass finish_class(const Package& package, const Module& from, const Symbol& definition);

/// The attributes that the top of the modules sets on what `owner` defines (`f.has_backward = False`).
std::map<std::string, ClassMember> attributes_set(const Package& package,
                                                  const std::vector<const Module*>& modules,
                                                  const Statement& owner);

/// Whether torch.nn.Module has a member of that name.
bool module_has(const std::string& name);

}  // namespace kernels::source
