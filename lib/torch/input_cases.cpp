#include "input_cases.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using Values = std::vector<c10::IValue>;
using Change = std::function<at::Tensor(const at::Tensor&)>;

// Applies to floating tensors only; the others stay.
Change on_floats(Change change) {
    return [change = std::move(change)](const at::Tensor& tensor) {
        return tensor.is_floating_point() ? change(tensor) : tensor;
    };
}

at::Tensor normal_like(const at::Tensor& like, double scale) {
    return (at::randn(like.sizes(), like.options().dtype(at::kFloat)) * scale).to(like.scalar_type());
}

std::vector<int64_t> resized(const at::Tensor& tensor, const Resize& resize) {
    auto sizes = tensor.sizes().vec();
    for (std::size_t dim = 0; dim < sizes.size(); ++dim) {
        const bool is_last = dim + 1 == sizes.size();
        if (is_last == resize.last && sizes[dim] == resize.from) sizes[dim] = resize.to;
    }
    return sizes;
}

InputCase with_size(const Values& arguments, const Resize& resize, const std::string& what) {
    InputCase one;
    one.name = "inputs with " + std::to_string(resize.to) + " " + what + " in the place of " +
               std::to_string(resize.from);
    one.arguments = with_tensors(
        arguments, [&](const at::Tensor& tensor) { return resampled(tensor, resized(tensor, resize)); });
    one.resize = resize;
    return one;
}

void add_sizes(const Values& arguments, std::vector<InputCase>& cases) {
    const auto tensors = tensors_in(arguments);
    if (tensors.empty()) return;
    const at::Tensor& first = tensors.front();
    int64_t largest = 1;
    for (const auto& tensor : tensors)
        largest = std::max(largest, static_cast<int64_t>(tensor.nbytes()));
    constexpr int64_t enough = 1 << 24;  // bytes; larger inputs cost time and show nothing more
    const auto add = [&](const Resize& resize, const char* what) {
        if (resize.from == resize.to || resize.from <= 0 || largest / resize.from * resize.to > enough)
            return;
        cases.push_back(with_size(arguments, resize, what));
    };
    if (first.dim() >= 2) {
        const int64_t rows = first.size(0);
        for (const int64_t other : {int64_t{1}, int64_t{0}, int64_t{3}, rows + 1, int64_t{67}, int64_t{521}})
            add({rows, other, false}, "rows");
    }
    if (first.dim() >= 3 && first.size(1) != first.size(0)) {
        const int64_t rows = first.size(1);
        for (const int64_t other : {int64_t{1}, int64_t{0}, rows + 3})
            add({rows, other, false}, "inner rows");
    }
    if (first.dim() >= 1) {
        const int64_t width = first.size(-1);
        for (const int64_t other : {int64_t{2}, width + 2, 2 * width})
            add({width, other, true}, "columns");
    }
}

Change layout_of(const std::string& layout) {
    if (layout == "every second element of a wider tensor") {
        return [](const at::Tensor& t) {
            if (t.dim() == 0) return t;
            auto sizes = t.sizes().vec();
            sizes.back() *= 2;
            auto wide = resampled(t, sizes);
            auto view = wide.slice(-1, 0, sizes.back(), 2);
            view.copy_(t);
            return view;
        };
    }
    if (layout == "transposed") {
        return [](const at::Tensor& t) {
            return t.dim() < 2 ? t : t.transpose(-1, -2).contiguous().transpose(-1, -2);
        };
    }
    return [](const at::Tensor& t) {  // a part of wider rows, not aligned
        if (t.dim() == 0) return t;
        auto sizes = t.sizes().vec();
        sizes.back() += 3;
        auto wide = resampled(t, sizes);
        auto view = wide.narrow(-1, 1, t.size(-1));
        view.copy_(t);
        return view;
    };
}

void add_layouts(const Values& arguments, std::vector<InputCase>& cases) {
    for (const char* layout :
         {"every second element of a wider tensor", "transposed", "part of wider rows"}) {
        InputCase one;
        one.name = std::string("inputs that are not contiguous (") + layout + ")";
        one.arguments = with_tensors(arguments, layout_of(layout));
        one.usual_layout = false;
        one.may_be_refused = true;
        cases.push_back(std::move(one));
    }
}

// Values whose largest is `size`.
at::Tensor of_size(const at::Tensor& like, double size) {
    auto values = at::randn(like.sizes(), like.options().dtype(at::kDouble));
    if (values.numel() == 0) return values.to(like.scalar_type());
    return (values * (size / std::max(values.abs().max().item<double>(), 1e-30))).to(like.scalar_type());
}

void add_values(const Values& arguments, std::vector<InputCase>& cases) {
    const auto add = [&](const std::string& name, const Change& change, bool finite = true) {
        InputCase one;
        one.name = name;
        one.arguments = with_tensors(arguments, on_floats(change));
        one.finite_result = finite;
        cases.push_back(std::move(one));
    };
    add("normal values", [](const at::Tensor& t) { return normal_like(t, 1); });
    // Beyond what a float16 could hold, but with squares that a float32 holds.
    add("large values",
        [](const at::Tensor& t) { return of_size(t, t.scalar_type() == at::kHalf ? 1e3 : 2e5); });
    // Differences of large numbers cancel.
    add("values around 50", [](const at::Tensor& t) { return normal_like(t, 1) + 50; });
    add("small values", [](const at::Tensor& t) { return normal_like(t, 1e-3); });
    add("zeros", [](const at::Tensor& t) { return at::zeros_like(t); });
    // In rows of their own, so that a kernel cannot mend one by the other.
    const auto special = [](double first, double last) {
        return [first, last](const at::Tensor& t) {
            auto values = normal_like(t, 1);
            if (values.numel() == 0) return values;
            values.flatten()[0].fill_(first);
            values.flatten()[values.numel() - 1].fill_(last);
            return values;
        };
    };
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    add("NaN and infinity", special(nan, infinity), false);
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
    }
}

// Extents that are the changed one change likewise, or the last one in proportion.
bool resized_as(at::IntArrayRef now, at::IntArrayRef before, const Resize& resize) {
    if (now == before) return false;
    bool each = true;
    bool others = true;
    for (std::size_t dim = 0; dim < before.size(); ++dim) {
        const bool same = now[dim] == before[dim];
        each = each && (same || (before[dim] == resize.from && now[dim] == resize.to));
        others = others && (same || dim + 1 == before.size());
    }
    return each || (resize.last && others && now.back() * resize.from == before.back() * resize.to);
}

}  // namespace

at::Tensor resampled(const at::Tensor& tensor, at::IntArrayRef sizes) {
    const int64_t count = c10::multiply_integers(sizes);
    if (tensor.numel() == 0) return at::zeros(sizes, tensor.options());
    const auto flat = tensor.detach().reshape({-1});
    const auto picked = at::randint(flat.numel(), {count}, tensor.options().dtype(at::kLong));
    auto values = flat.index_select(0, picked).reshape(sizes);
    if (!values.is_floating_point()) return values;
    const auto scatter = 1 + 0.05 * at::randn(sizes, tensor.options().dtype(at::kFloat));
    return (values.to(at::kDouble) * scatter).to(tensor.scalar_type());
}

std::optional<at::ScalarType> floating_dtype(const Values& arguments) {
    for (const auto& tensor : tensors_in(arguments)) {
        if (tensor.is_floating_point()) return tensor.scalar_type();
    }
    return std::nullopt;
}

std::vector<InputCase> layer_cases(const Values& arguments) {
    std::vector<InputCase> cases;
    InputCase other;
    other.name = "other values";
    other.arguments =
        with_tensors(arguments, [](const at::Tensor& tensor) { return resampled(tensor, tensor.sizes()); });
    cases.push_back(std::move(other));
    add_values(arguments, cases);
    add_sizes(arguments, cases);
    add_layouts(arguments, cases);
    if (floating_dtype(arguments)) add_dtypes(arguments, cases, true);
    return cases;
}

std::vector<InputCase> model_cases(const Values& arguments, bool dtypes) {
    std::vector<InputCase> cases;
    const auto tensors = tensors_in(arguments);
    if (tensors.empty()) return cases;
    const at::Tensor& first = tensors.front();
    if (first.dim() >= 1) {
        const bool is_last = first.dim() == 1;
        const int64_t rows = first.size(0);
        for (const int64_t other : {int64_t{1}, int64_t{3}}) {
            if (other != rows) cases.push_back(with_size(arguments, {rows, other, is_last}, "rows"));
        }
    }
    if (first.dim() >= 2 && first.size(1) != first.size(0) && !first.is_floating_point()) {
        const int64_t length = first.size(1);
        const bool is_last = first.dim() == 2;
        cases.push_back(with_size(arguments, {length, length + 3, is_last}, "columns"));
    }
    add_layouts(arguments, cases);
    for (auto& one : cases)
        one.may_be_refused = false;
    if (dtypes) add_dtypes(arguments, cases, false);
    return cases;
}

bool follows(const c10::IValue& result, const c10::IValue& known_result, const InputCase& one,
             std::optional<at::ScalarType> own_dtype) {
    const auto tensors = tensors_in({result});
    const auto known = tensors_in({known_result});
    if (tensors.size() != known.size()) return false;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        auto dtype = known[i].scalar_type();
        if (one.dtype && own_dtype == dtype) dtype = *one.dtype;
        if (tensors[i].scalar_type() != dtype || tensors[i].dim() != known[i].dim()) return false;
        const bool fits = one.resize ? resized_as(tensors[i].sizes(), known[i].sizes(), *one.resize)
                                     : tensors[i].sizes() == known[i].sizes();
        if (!fits) return false;
    }
    return true;
}

}  // namespace kernels::torchscript
