#include "chosen_list.hpp"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "iterated.hpp"
#include "tokens.hpp"

namespace kernels::source {
namespace {

class ChosenList {
  public:
    ChosenList(const Expression& list, const Scope& scope) : m_list(list), m_scope(scope) {}

    std::string print() {
        for (std::size_t i = 0; i < m_list.parts.size(); ++i)
            if (i != 2) require_plain(m_list.part(i));
        const std::string element = print_of(m_list.part(0));
        const std::string target = print_of(m_list.part(1));
        const auto [all, none] = loops(m_list.part(2));
        std::string condition;
        bool tells_type = false;
        ExpressionPtr all_of;
        for (std::size_t i = 3; i < m_list.parts.size(); ++i) {
            auto one = clone(m_list.part(i));
            all_of = all_of == nullptr ? std::move(one) : both(std::move(all_of), std::move(one));
            for_each_expression(m_list.part(i), [&](const Expression& e) {
                const bool is = e.is(Expr::compare, "is") || e.is(Expr::compare, "is not");
                const bool instance = e.kind == Expr::call && e.part(0).is(Expr::name, "isinstance");
                tells_type = tells_type || ((is || instance) && shares_names(e, m_list.part(0)));
            });
        }
        condition = "(" + print_condition(*all_of, m_scope) + ")";
        // A list of nothing that has the type of the elements. Where the condition tells more of an element
        // than is known without it, it is one of tensors.
        const std::string empty = tells_type ? "[]" : "[" + element + " for " + target + " in " + none + "]";
        std::string text = "hub_flat([([" + element + "] if " + condition + " else " + empty + ") for " +
                           target + " in " + all + "])";
        for (auto one = m_named.rbegin(); one != m_named.rend(); ++one)
            text = "[" + text + " for " + one->first + " in [" + one->second + "]][0]";
        return text;
    }

  private:
    static ExpressionPtr both(ExpressionPtr first, ExpressionPtr second) {
        auto made = std::make_unique<Expression>();
        made->kind = Expr::boolean;
        made->line = first->line;
        made->text = "and";
        made->height = std::max(first->height, second->height) + 1;
        made->parts.push_back(std::move(first));
        made->parts.push_back(std::move(second));
        return made;
    }

    std::string print_of(const Expression& e) const { return source::print(e, m_scope); }

    static bool shares_names(const Expression& one, const Expression& other) {
        const auto names_in = [](const Expression& whole) {
            std::set<std::string> names;
            for_each_expression(whole, [&](const Expression& e) {
                if (e.kind == Expr::name) names.insert(e.text);
            });
            return names;
        };
        const auto names = names_in(one);
        const auto others = names_in(other);
        return std::any_of(names.begin(), names.end(),
                           [&](const auto& name) { return others.contains(name); });
    }

    // What is computed for each element is written twice, and a list that changes while a loop goes through
    // it is not the same in TorchScript.
    void require_plain(const Expression& part) const {
        for_each_expression(part, [&](const Expression& e) {
            static const std::set<std::string> changing = {"append", "extend", "insert",
                                                           "pop",    "remove", "clear"};
            if (e.kind == Expr::comprehension)
                refuse_at(e, "a list comprehension within one that has a condition");
            if (e.kind == Expr::call && e.part(0).kind == Expr::attribute &&
                changing.contains(e.part(0).text))
                refuse_at(e, "a list comprehension with a condition that changes lists");
        });
    }

    // A name for what is iterated over, which is computed once.
    std::string named(const Expression& e) {
        if (e.kind == Expr::name) return print_of(e);
        std::string value = print_iterated(e, m_scope);
        if (e.kind == Expr::comprehension) value = "hub_same(" + value + ")";
        if (e.kind == Expr::tuple) {
            value = "[";
            for (const auto& part : e.parts)
                value += (part == e.parts.front() ? "" : ", ") + print_of(*part);
            value += "]";
        }
        // Lists within this one's parts have names of their own.
        const std::string name =
            "hub_list_" + std::to_string(m_list.height) + "_" + std::to_string(m_named.size());
        m_named.emplace_back(name, std::move(value));
        return name;
    }

    // The loop, and the same one over nothing.
    std::pair<std::string, std::string> loops(const Expression& iterated) {
        const bool calls = iterated.kind == Expr::call && iterated.part(0).kind == Expr::name &&
                           !m_scope.locals.contains(iterated.part(0).text);
        const std::string callee = calls ? iterated.part(0).text : "";
        if (callee == "range") return {print_of(iterated), "range(0)"};
        if (callee != "zip" && callee != "enumerate") {
            const std::string name = named(iterated);
            return {name, name + "[0:0]"};
        }
        std::string all;
        std::string none;
        for (std::size_t i = 1; i < iterated.parts.size(); ++i) {
            const Expression& part = iterated.part(i);
            if (part.kind == Expr::keyword || part.kind == Expr::star || (callee == "enumerate" && i > 1))
                refuse_at(part, "a list comprehension with a condition over such a call of " + callee);
            const std::string name = named(part);
            all += (i == 1 ? "" : ", ") + name;
            none += (i == 1 ? "" : ", ") + name + "[0:0]";
        }
        return {callee + "(" + all + ")", callee + "(" + none + ")"};
    }

    [[noreturn]] void refuse_at(const Expression& e, const std::string& why) const {
        refuse(m_scope.function.file(), e.line, why);
    }

    const Expression& m_list;
    const Scope& m_scope;
    std::vector<std::pair<std::string, std::string>> m_named;
};

}  // namespace

std::string print_chosen_list(const Expression& comprehension, const Scope& scope) {
    return ChosenList(comprehension, scope).print();
}

}  // namespace kernels::source
