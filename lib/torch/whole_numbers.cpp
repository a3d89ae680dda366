#include "whole_numbers.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>

#include "graph_calls.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using Values = std::vector<c10::IValue>;
using NumberChange = std::function<at::Tensor(const at::Tensor&)>;

constexpr int64_t far =
    40000;  // beyond it only the end of a matrix is looked for: code may make room for them

class WholeNumbers {
  public:
    WholeNumbers(const Values& arguments, const Accepts& accepts, const std::set<int64_t>& rows,
                 const std::set<int64_t>& of_code, std::vector<InputCase>& cases)
        : m_arguments(arguments),
          m_tensors(tensors_in(arguments)),
          m_accepts(accepts),
          m_rows(rows),
          m_of_code(of_code),
          m_cases(cases) {}

    void add() {
        const auto count = std::count_if(m_tensors.begin(), m_tensors.end(), is_whole);
        if (count > 0) add_others(std::nullopt);
        for (std::size_t i = 0; i < m_tensors.size(); ++i) {
            if (!is_whole(m_tensors[i])) continue;
            const std::optional<std::size_t> alone = count > 1 ? std::optional(i) : std::nullopt;
            if (alone) add_others(alone);
            add_range(i, alone);
            add_of_code(i);
        }
    }

  private:
    InputCase changed(const std::string& what, std::optional<std::size_t> alone,
                      const NumberChange& change) const {
        InputCase one;
        one.name = what + (alone ? " in tensor " + std::to_string(*alone + 1) : "");
        one.arguments = with_numbered_tensors(m_arguments, [&](const at::Tensor& t, std::size_t number) {
            const bool chosen = is_whole(t) && (!alone || *alone == number);
            return chosen ? change(t) : t;
        });
        one.may_be_refused = true;
        return one;
    }

    bool add(InputCase one) {
        const bool taken = m_accepts(one);
        if (taken) m_cases.push_back(std::move(one));
        return taken;
    }

    void add_others(std::optional<std::size_t> alone) {
        add(changed("whole numbers beyond those given", alone,
                    [](const at::Tensor& t) { return t + t.max() + 1; }));
        for (const int64_t more : {int64_t{1000}, far})
            add(changed("whole numbers from " + std::to_string(more), alone,
                        [more](const at::Tensor& t) { return t + more; }));
        add(changed("negative whole numbers", alone, [](const at::Tensor& t) { return -1 - t; }));
    }

    // The first rows of a table, the last and those in between: a model's own inputs are often in a part of
    // it.
    void add_range(std::size_t number, std::optional<std::size_t> alone) {
        const auto& given = m_tensors[number];
        const auto filled = [&](int64_t with) {
            return changed("", number, [with](const at::Tensor& t) { return at::full_like(t, with); });
        };
        const auto known = given.max().item<int64_t>();
        const auto takes = [&](int64_t value) { return m_accepts(filled(value)); };
        const int64_t most = largest_taken(takes, known, m_rows, true).value_or(known);
        const auto from = [&](int64_t least) {
            return changed("whole numbers from " + std::to_string(least) + " to " + std::to_string(most),
                           alone, [&](const at::Tensor& t) { return spread(t, least, most); });
        };
        const auto least = given.min().item<int64_t>();
        if (most <= 0 || (most == known && least <= 0)) return;
        if (!add(from(0)) && least > 0 && least < most) add(from(least));
    }

    // Half of the numbers are such as the code names and the original takes.
    void add_of_code(std::size_t number) {
        constexpr std::size_t most = 24;
        const auto& given = m_tensors[number];
        const auto with = [&](const NumberChange& change) {
            return changed("whole numbers that its code names", number, change);
        };
        std::vector<int64_t> named;
        for (const int64_t value : m_of_code) {
            if (named.size() == most) break;
            if (given.scalar_type() == at::kInt && value != static_cast<int32_t>(value)) continue;
            auto one = given.clone(at::MemoryFormat::Contiguous);
            one.view({-1})[0].fill_(value);
            if (m_accepts(with([&](const at::Tensor&) { return one; }))) named.push_back(value);
        }
        if (named.empty()) return;
        const auto values = at::tensor(named, given.options());
        add(with([&](const at::Tensor& t) {
            const auto picked = at::randint(values.numel(), t.sizes(), t.options().dtype(at::kLong));
            return at::where(at::rand(t.sizes()).gt(0.5), values.index({picked}), t);
        }));
    }

    const Values& m_arguments;
    std::vector<at::Tensor> m_tensors;
    const Accepts& m_accepts;
    const std::set<int64_t>& m_rows;
    const std::set<int64_t>& m_of_code;
    std::vector<InputCase>& m_cases;
};

}  // namespace

bool is_whole(const at::Tensor& tensor) {
    return (tensor.scalar_type() == at::kLong || tensor.scalar_type() == at::kInt) && tensor.numel() > 0;
}

std::set<int64_t> row_counts(const torch::jit::Module& module) {
    std::set<int64_t> rows;
    const auto add = [&](const at::Tensor& tensor) {
        if (tensor.defined() && tensor.dim() == 2) rows.insert(tensor.size(0));
    };
    for (const auto& weight : weights_of(module))
        add(weight);
    for (auto* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const torch::jit::Node* node) {
            if (node->kind() != torch::jit::prim::Constant) return;
            const auto value = torch::jit::toIValue(node->output());
            if (value && value->isTensor()) add(value->toTensor());
        });
    }
    return rows;
}

std::optional<int64_t> largest_taken(const std::function<bool(int64_t)>& takes, int64_t known,
                                     const std::set<int64_t>& rows, bool thorough) {
    const bool far_too = known >= far || takes(far);
    for (auto count = rows.rbegin(); count != rows.rend(); ++count) {
        if (*count <= known || (*count > far) != far_too) continue;
        if (takes(*count - 1) && !takes(*count)) return *count - 1;
    }
    if (far_too || !thorough) return std::nullopt;
    int64_t taken = known;
    int64_t refused = far;
    while (refused - taken > 1) {
        const int64_t middle = taken + (refused - taken) / 2;
        (takes(middle) ? taken : refused) = middle;
    }
    return taken;
}

at::Tensor spread(const at::Tensor& like, int64_t least, int64_t most) {
    auto numbers = at::randint(least, most + 1, {like.numel()}, like.options().dtype(at::kLong));
    if (like.numel() > 0) {
        numbers[0].fill_(least);
        numbers[-1].fill_(most);
    }
    return numbers.reshape(like.sizes()).to(like.scalar_type());
}

void add_whole_numbers(const Values& arguments, const Accepts& accepts, const std::set<int64_t>& rows,
                       const std::set<int64_t>& of_code, std::vector<InputCase>& cases) {
    WholeNumbers(arguments, accepts, rows, of_code, cases).add();
}

}  // namespace kernels::torchscript
