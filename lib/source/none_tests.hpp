// `x is not None and x.dim() == 2`: what stands behind a test for None.
#pragma once

#include <map>
#include <string>

#include "expression_printer.hpp"

namespace kernels::source {

/// Whether it is `x is None` or `x is not None` of a variable or an attribute.
bool is_none_test(const Expression& e);

/// What the sides in front in `and` and `or` say of variables and attributes: that they are None, or are not.
///
/// Where libtorch's compiler knows that `x` is None it leaves out the branches of statements and of
/// `a if … else b` that this decides, but it compiles both sides of `and` and `or`, and fails on `x.dim()`.
class NoneTests {
  public:
    explicit NoneTests(const Scope& scope) : m_scope(&scope) {}

    /// `test` is evaluated, and what follows only when it gave `outcome`.
    void learn(const Expression& test, bool outcome);

    /// The tests, joined, of what is read in `expression`; empty when there are none.
    std::string of(const Expression& expression) const;

  private:
    const Scope* m_scope;
    std::map<std::string, std::string> m_tests;  // by the dotted path of what is tested
};

}  // namespace kernels::source
