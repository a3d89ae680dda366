#include "input_cases.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "input_masks.hpp"
#include "input_sizes.hpp"
#include "tensors_in.hpp"
#include "whole_numbers.hpp"

namespace kernels::torchscript {
namespace {

using Values = std::vector<c10::IValue>;
using Change = std::function<at::Tensor(const at::Tensor&)>;

// Applies to floating tensors only; the others stay.
Change on_floats(Change change) {
    return [change = std::move(change)](const at::Tensor& tensor) {
        return tensor.is_floating_point() ? repeated_as(tensor, change(tensor)) : tensor;
    };
}

at::Tensor normal_like(const at::Tensor& like, double scale) {
    return (at::randn(like.sizes(), like.options().dtype(at::kFloat)) * scale).to(like.scalar_type());
}

struct Layout {
    const char* name;
    Change change;
};

at::Tensor copied_into(const at::Tensor& view, const at::Tensor& values) {
    view.copy_(values);
    return view;
}

at::Tensor wider(const at::Tensor& tensor, int64_t columns) {
    auto sizes = tensor.sizes().vec();
    sizes.back() = columns;
    return resampled(tensor, sizes);
}

at::Tensor stored_transposed(const at::Tensor& t, int64_t one, int64_t other) {
    return t.transpose(one, other).contiguous().transpose(one, other);
}

const std::vector<Layout>& layouts() {
    static const std::vector<Layout> all{
        {"every second element of a wider tensor",
         [](const at::Tensor& t) {
             return t.dim() == 0 ? t
                                 : copied_into(wider(t, 2 * t.size(-1)).slice(-1, 0, 2 * t.size(-1), 2), t);
         }},
        {"transposed", [](const at::Tensor& t) { return t.dim() < 2 ? t : stored_transposed(t, -1, -2); }},
        {"part of wider rows",  // and not aligned
         [](const at::Tensor& t) {
             return t.dim() == 0 ? t : copied_into(wider(t, t.size(-1) + 3).narrow(-1, 1, t.size(-1)), t);
         }},
        {"the first dimensions transposed",
         [](const at::Tensor& t) { return t.dim() < 3 ? t : stored_transposed(t, 0, 1); }},
        {"one row for all",
         [](const at::Tensor& t) {
             return t.dim() < 2 || t.size(0) < 2 ? t : t.slice(0, 0, 1).contiguous().expand(t.sizes());
         }},
    };
    return all;
}

// All tensors in a layout, and each alone, the others being contiguous.
void add_layouts(const Values& arguments, std::vector<InputCase>& cases) {
    constexpr std::size_t most_alone = 4;
    const auto tensors = tensors_in(arguments);
    const auto add = [&](const Layout& layout, std::optional<std::size_t> alone) {
        bool changes = false;
        InputCase one;
        one.name = std::string("inputs that are not contiguous (") +
                   (alone ? "tensor " + std::to_string(*alone + 1) + " alone: " : "") + layout.name + ")";
        one.arguments = with_numbered_tensors(arguments, [&](const at::Tensor& tensor, std::size_t number) {
            if (alone && *alone != number) return tensor.contiguous();
            const at::Tensor changed = layout.change(tensor);
            changes = changes || !changed.is_contiguous();
            return changed;
        });
        one.usual_layout = false;
        one.may_be_refused = true;
        if (changes) cases.push_back(std::move(one));
    };
    for (const auto& layout : layouts())
        add(layout, std::nullopt);
    if (tensors.size() < 2) return;
    for (std::size_t i = 0; i < std::min(tensors.size(), most_alone); ++i)
        for (const auto& layout : layouts())
            add(layout, i);
}

// Values whose largest is `size`.
at::Tensor of_size(const at::Tensor& like, double size) {
    auto values = at::randn(like.sizes(), like.options().dtype(at::kDouble));
    if (values.numel() == 0) return values.to(like.scalar_type());
    return (values * (size / std::max(values.abs().max().item<double>(), 1e-30))).to(like.scalar_type());
}

// Each row of a size of its own, with values of both signs, or of one.
at::Tensor values_of_every_size(const at::Tensor& like) {
    const auto options = like.options().dtype(at::kDouble);
    auto values = at::randn(like.sizes(), options);
    if (values.numel() == 0 || values.dim() == 0) return values.to(like.scalar_type());
    const bool in_rows = values.dim() > 1;
    auto rows = in_rows ? values.reshape({-1, values.size(-1)}) : values.unsqueeze(1);
    const auto number = at::arange(rows.size(0), options.dtype(at::kLong)).unsqueeze(1);
    const auto size = at::pow(2, number.remainder(7));  // 1 to 64
    const auto signs = (number + number.floor_divide(7)).remainder(3);
    rows = at::where(signs.eq(0), rows, at::where(signs.eq(1), -rows.abs(), rows.abs())) * size;
    return rows.reshape(like.sizes()).to(like.scalar_type());
}

void add_values(const Values& arguments, std::vector<InputCase>& cases) {
    const auto add = [&](const std::string& name, const Change& change, bool finite = true) {
        InputCase one;
        one.name = name;
        one.arguments = with_tensors(arguments, on_floats(change));
        one.gradients = name == "normal values";
        one.finite_result = finite;
        cases.push_back(std::move(one));
    };
    add("normal values", [](const at::Tensor& t) { return normal_like(t, 1); });
    // Beyond what a float16 could hold, but with squares that a float32 holds.
    add("large values",
        [](const at::Tensor& t) { return of_size(t, t.scalar_type() == at::kHalf ? 1e3 : 2e5); });
    // Differences of large numbers cancel.
    add("values around 50", [](const at::Tensor& t) { return normal_like(t, 1) + 50; });
    add("values around -200", [](const at::Tensor& t) { return normal_like(t, 1) - 200; });
    cases.back().may_be_refused = true;  // numbers that mean places may be none
    add("values of every size up to 100 and both signs", values_of_every_size);
    add("values of every magnitude", [](const at::Tensor& t) {
        const auto options = t.options().dtype(at::kDouble);
        const auto size = at::pow(10, at::rand(t.sizes(), options) * 7 - 3);
        return (size * at::randn(t.sizes(), options).sign()).to(t.scalar_type());
    });
    add("small values", [](const at::Tensor& t) { return normal_like(t, 1e-3); });
    add("zeros", [](const at::Tensor& t) { return at::zeros(t.sizes(), t.options()); });
    // In rows of their own, so that a kernel cannot mend one by the other, and in the first sequence of a
    // batch: the others must not see it.
    const auto special = [](double first, double last) {
        return [first, last](const at::Tensor& t) {
            auto values = normal_like(t, 1);
            if (values.numel() == 0) return values;
            const auto some = values.dim() > 2 ? values[0] : values;
            some.flatten()[0].fill_(first);
            some.flatten()[some.numel() - 1].fill_(last);
            return values;
        };
    };
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    add("NaN", special(nan, 1), false);
    cases.back().special = Special::nan;
    add("infinity", special(infinity, infinity), false);
    cases.back().special = Special::infinity;
    add("negative infinity", special(-infinity, 1), false);
    cases.back().special = Special::negative_infinity;
}

void add_dtypes(const Values& arguments, std::vector<InputCase>& cases, bool values) {
    const auto own = floating_dtype(arguments).value_or(at::kFloat);
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        if (dtype == own) continue;
        const auto add = [&](const std::string& name, const Change& change) {
            InputCase one;
            one.name = (dtype == at::kFloat ? "float32" : "bfloat16") + name;
            one.arguments =
                with_tensors(arguments, on_floats([&](const at::Tensor& t) { return change(t.to(dtype)); }));
            one.dtype = dtype;
            one.may_be_refused = true;
            cases.push_back(std::move(one));
        };
        add(" inputs", [](const at::Tensor& t) { return t; });
        if (!values) continue;
        add(", normal values", [](const at::Tensor& t) { return normal_like(t, 1); });
        add(", large values", [](const at::Tensor& t) { return of_size(t, 2e5); });
        cases.back().gradients = false;
    }
}

// The same with one dimension more or fewer in front: a kernel that counts dimensions from the other end than
// the original shows.
void add_ranks(const Values& arguments, const Known& known, std::vector<InputCase>& cases) {
    const auto tensors = tensors_in(arguments);
    const auto add = [&](int64_t more, const Change& change) {
        InputCase one;
        const int64_t rank = tensors.front().dim();
        one.name = "inputs of " + std::to_string(rank + more) + " dimensions in the place of " +
                   std::to_string(rank);
        one.arguments = with_tensors(arguments, change);
        one.more_dims = more;
        one.may_be_refused = true;
        cases.push_back(std::move(one));
    };
    const bool can_be_fewer = std::all_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
        return tensor.dim() > 1 && tensor.size(0) > 0;
    });
    if (can_be_fewer) add(-1, [](const at::Tensor& tensor) { return tensor[0].clone(); });
    if (!may_be_doubled(arguments, known.results)) return;
    add(1, [](const at::Tensor& tensor) {
        const bool values = tensor.is_floating_point() && !is_flags(tensor);
        return at::stack({tensor, values ? resampled(tensor, tensor.sizes()) : tensor});
    });
}

bool follows(at::IntArrayRef now, at::IntArrayRef before, const std::set<int64_t>& numbers,
             const InputCase& one) {
    if (one.more_dims < 0) return before.size() > 0 && now == before.slice(1);
    if (one.more_dims > 0) return now.size() == before.size() + 1 && now.slice(1) == before;
    if (one.single_row) {
        bool may_be = now.size() == before.size();
        for (std::size_t dim = 0; may_be && dim < now.size(); ++dim)
            may_be = now[dim] == before[dim] || now[dim] == 1;
        return may_be;
    }
    if (one.resize) return now.size() == before.size() && follows_resize(now, before, *one.resize, numbers);
    return now == before;
}

}  // namespace

at::Tensor repeated_as(const at::Tensor& like, const at::Tensor& values) {
    if (like.dim() == 0 || values.dim() == 0 || like.numel() == 0 || values.numel() == 0) return values;
    if (!like.is_floating_point() || like.layout() != at::kStrided || like.size(-1) % 2 != 0 ||
        values.size(-1) % 2 != 0)
        return values;
    const auto numbers = computable(like.detach());
    if (numbers.size(-1) < 4 || numbers.eq(numbers.flatten()[0]).all().item<bool>()) return values;
    const auto halves = numbers.chunk(2, -1);
    if (at::equal(halves[0], halves[1])) {
        const auto half = values.chunk(2, -1)[0];
        return at::cat({half, half}, -1);
    }
    const auto every_second = [](const at::Tensor& tensor, int64_t first) {
        return tensor.slice(-1, first, std::nullopt, 2);
    };
    if (!at::equal(every_second(numbers, 0), every_second(numbers, 1))) return values;
    return every_second(values, 0).repeat_interleave(2, -1);
}

at::Tensor resampled(const at::Tensor& tensor, at::IntArrayRef sizes) {
    const int64_t count = c10::multiply_integers(sizes);
    if (tensor.numel() == 0) return at::zeros(sizes, tensor.options());
    const auto flat = tensor.detach().reshape({-1});
    const auto picked = at::randint(flat.numel(), {count}, tensor.options().dtype(at::kLong));
    auto values = flat.index_select(0, picked).reshape(sizes);
    const bool flags = is_flags(tensor);
    if (flags && !tensor.is_floating_point() && !sizes.empty() && sizes.back() > 0 &&
        tensor.ne(0).any(-1).all().item<bool>())
        values.select(-1, 0).fill_(1);  // a mask: a row without any is computed by few models
    // Zeros or ones alone may be any values.
    const bool mask = flags && tensor.ne(0).any().item<bool>() && tensor.eq(0).any().item<bool>();
    if (mask || !values.is_floating_point()) return values;
    const auto scatter = 1 + 0.05 * at::randn(sizes, tensor.options().dtype(at::kFloat));
    return repeated_as(tensor, (values.to(at::kDouble) * scatter).to(tensor.scalar_type()));
}

std::optional<at::ScalarType> floating_dtype(const Values& arguments) {
    for (const auto& tensor : tensors_in(arguments)) {
        if (tensor.is_floating_point()) return tensor.scalar_type();
    }
    return std::nullopt;
}

std::vector<InputCase> layer_cases(const Values& arguments, const Accepts& accepts, const Known& known) {
    std::vector<InputCase> cases;
    InputCase other;
    other.name = "other values";
    other.arguments =
        with_tensors(arguments, [](const at::Tensor& tensor) { return resampled(tensor, tensor.sizes()); });
    cases.push_back(other);
    add_values(arguments, cases);
    add_masks(arguments, false, cases);
    add_whole_numbers(arguments, accepts, known.rows, known.numbers, cases);
    add_sizes(arguments, known.results, accepts, known.halves ? Amount::many_even_sizes : Amount::many_sizes,
              cases);
    add_layouts(arguments, cases);
    if (floating_dtype(arguments)) add_dtypes(arguments, cases, true);
    for (const auto& [weights, name] : {std::pair(Weights::both_signs, "weights of both signs"),
                                        std::pair(Weights::other_buffers, "other values in its buffers")}) {
        other.name = name;
        other.weights = weights;
        cases.push_back(other);
    }
    if (!known.one_rank && !tensors_in(arguments).empty()) add_ranks(arguments, known, cases);
    return cases;
}

std::vector<InputCase> model_cases(const Values& arguments, const Accepts& accepts, const Known& known,
                                   bool small) {
    std::vector<InputCase> cases;
    if (tensors_in(arguments).empty()) return cases;
    add_sizes(arguments, known.results, accepts, small ? Amount::some_sizes : Amount::one_size, cases);
    add_ranks(arguments, known, cases);
    add_masks(arguments, !small, cases);
    if (!small) return cases;
    add_whole_numbers(arguments, accepts, known.rows, {}, cases);
    const auto layouts = static_cast<std::ptrdiff_t>(cases.size());
    add_layouts(arguments, cases);
    std::for_each(cases.begin() + layouts, cases.end(), [](auto& one) { one.may_be_refused = false; });
    add_dtypes(arguments, cases, false);
    return cases;
}

bool follows(const c10::IValue& result, const KnownCall& call, const InputCase& one) {
    if (one.other_arguments) return true;
    const auto tensors = tensors_in({result});
    const auto known = tensors_in({call.result});
    if (tensors.size() != known.size()) return false;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto dtype = known[i].scalar_type();
        if (one.dtype && call.dtype == dtype) dtype = *one.dtype;
        if (tensors[i].scalar_type() != dtype) return false;
        if (!follows(tensors[i].sizes(), known[i].sizes(), call.numbers, one)) return false;
    }
    return true;
}

}  // namespace kernels::torchscript
