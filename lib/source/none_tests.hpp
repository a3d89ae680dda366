// `x is not None and x.dim() == 2`: what stands behind a test for None, or that something is there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "expression_printer.hpp"

namespace kernels::source {

/// Whether it is `x is None` or `x is not None` of a variable or an attribute.
bool is_none_test(const Expression& e);

/// What the sides in front in `and` and `or` say of variables and attributes: that they are None, or are not,
/// or are of a type, or are there at all.
///
/// Where libtorch's compiler knows that `x` is None it leaves out the branches of statements and of
/// `a if … else b` that this decides, but it compiles both sides of `and` and `or`, and fails on `x.dim()`.
class NoneTests {
  public:
    explicit NoneTests(const Scope& scope) : m_scope(&scope) {}

    /// `test` is evaluated, and what follows only when it gave `outcome`.
    void learn(const Expression& test, bool outcome);

    /// `text`, a bool that `expression` was printed as, behind the tests of what is read in it: False where
    /// one of them fails.
    std::string behind(const Expression& expression, const std::string& text) const;
    bool tests(const Expression& expression) const { return !of(expression).empty(); }

  private:
    std::vector<std::string> of(const Expression& expression) const;

    const Scope* m_scope;
    std::vector<std::pair<std::string, std::string>> m_tests;  // the dotted path of what is tested, and how
};

}  // namespace kernels::source
