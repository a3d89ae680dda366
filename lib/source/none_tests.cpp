#include "none_tests.hpp"

#include <algorithm>
#include <set>

namespace kernels::source {

void NoneTests::learn(const Expression& test, bool outcome) {
    if (test.is(Expr::unary, "not")) return learn(test.part(0), !outcome);
    if (test.kind == Expr::boolean) {
        if ((test.text == "and") != outcome) return;
        learn(test.part(0), outcome);
        return learn(test.part(1), outcome);
    }
    const auto tested = [&](const std::string& path, const std::string& how) {
        if (!path.empty()) m_tests.emplace_back(path, how);
    };
    if (is_none_test(test)) {
        const bool none = (test.text == "is") == outcome;
        tested(dotted(test.part(0)),
               "(" + print(test.part(0), *m_scope) + (none ? " is (None))" : " is not (None))"));
    } else if (outcome && test.kind == Expr::call && test.parts.size() == 3) {
        const std::string owner = dotted(test.part(1));
        if (test.part(0).is(Expr::name, "isinstance")) tested(owner, print(test, *m_scope));
        if (test.part(0).is(Expr::name, "hasattr") && test.part(2).kind == Expr::string && !owner.empty())
            tested(owner + "." + test.part(2).text, print(test, *m_scope));
    } else if (outcome && !dotted(test).empty()) {
        tested(dotted(test), "(" + print(test, *m_scope) + " is not (None))");
    }
}

std::vector<std::string> NoneTests::of(const Expression& expression) const {
    std::vector<std::string> all;
    if (m_tests.empty()) return all;
    std::set<std::string> read;
    for_each_expression(expression, [&](const Expression& e) {
        if (const std::string path = dotted(e); !path.empty()) read.insert(path);
    });
    for (const auto& [path, how] : m_tests)
        if (read.contains(path) && std::find(all.begin(), all.end(), how) == all.end()) all.push_back(how);
    return all;
}

std::string NoneTests::behind(const Expression& expression, const std::string& text) const {
    const auto all = of(expression);
    std::string whole = text;
    for (auto test = all.rbegin(); test != all.rend(); ++test)
        whole = "(" + whole + " if " + *test + " else False)";
    return whole;
}

bool is_none_test(const Expression& e) {
    return (e.is(Expr::compare, "is") || e.is(Expr::compare, "is not")) &&
           e.part(1).is(Expr::constant, "None") && !dotted(e.part(0)).empty();
}

}  // namespace kernels::source
