#include "none_tests.hpp"

#include <set>

namespace kernels::source {

void NoneTests::learn(const Expression& test, bool outcome) {
    if (test.is(Expr::unary, "not")) return learn(test.part(0), !outcome);
    if (test.kind == Expr::boolean) {
        if ((test.text == "and") != outcome) return;
        learn(test.part(0), outcome);
        return learn(test.part(1), outcome);
    }
    if (is_none_test(test)) {
        const Expression& tested = test.part(0);
        const bool none = (test.text == "is") == outcome;
        m_tests[dotted(tested)] = "(" + print(tested, *m_scope) + (none ? " is (None))" : " is not (None))");
    } else if (outcome && !dotted(test).empty()) {
        m_tests[dotted(test)] = "(" + print(test, *m_scope) + " is not (None))";
    }
}

std::string NoneTests::of(const Expression& expression) const {
    if (m_tests.empty()) return {};
    std::set<std::string> read;
    for_each_expression(expression, [&](const Expression& e) {
        if (const std::string path = dotted(e); !path.empty()) read.insert(path);
    });
    std::string all;
    for (const auto& path : read) {
        const auto known = m_tests.find(path);
        if (known == m_tests.end()) continue;
        all = all.empty() ? known->second : "(" + all + " and " + known->second + ")";
    }
    return all;
}

bool is_none_test(const Expression& e) {
    return (e.is(Expr::compare, "is") || e.is(Expr::compare, "is not")) &&
           e.part(1).is(Expr::constant, "None") && !dotted(e.part(0)).empty();
}

}  // namespace kernels::source
