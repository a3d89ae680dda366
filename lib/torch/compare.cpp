#include "kernels/torch/compare.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

double default_tolerance(at::ScalarType dtype) {
    switch (dtype) {
        case at::kDouble:
            return 1e-7;
        case at::kFloat:
            return 1e-4;
        case at::kHalf:
            return 4e-3;
        case at::kBFloat16:
            return 2e-2;
        default:
            return 0;
    }
}

// That of the dtype that rounds by this part of 1.
double tolerance_for(double rounding) {
    if (rounding > 1e-3) return default_tolerance(at::kBFloat16);
    if (rounding > 1e-6) return default_tolerance(at::kHalf);
    return 0;
}

// The root mean square error that a result may have where the expected one has none: some roundings.
double error_of_roundings(at::ScalarType dtype) {
    switch (dtype) {
        case at::kDouble:
            return 1e-13;
        case at::kFloat:
            return 4e-6;
        case at::kHalf:
            return 2.5e-4;
        default:
            return 2e-3;
    }
}

constexpr double worse_error = 4;      // how much larger than the expected result's an error may be
constexpr double same_error = 1.55;    // the same where roundings alone make it: one of two is no fault
constexpr double may_move = 4;         // how much further than its sensitivity says a number may be
constexpr double worst_of_errors = 8;  // how much larger than the root mean square one error may be

double root_mean_square(const at::Tensor& values) {
    const auto count = static_cast<double>(values.numel());
    if (count == 0) return 0;
    return at::linalg_vector_norm(values, 2, std::nullopt, false, at::kDouble).item<double>() /
           std::sqrt(count);
}

// Whether the mean error of so many numbers is more than `times` as large as another, and than chance makes
// of one rounding more. Of what roundings leave as it is the other may be 0, and this one, of a number that
// nearly is, not: in float64 1 + erf(x) is 0 where erfc(-x) is not.
bool is_larger(double error, double other, double times, int64_t count) {
    constexpr double none = 1e-6;
    const double chance = std::sqrt(2.0) * (1 + 3 / std::sqrt(static_cast<double>(count)));
    return error > std::max(none, std::max(times, chance) * other);
}

// Whether the actual result is rounded more often than the expected one, or in a narrower dtype. In float16
// and bfloat16 the last rounding is nearly all of the error, so that its mean is known well; each element
// counts alike, however large it is.
bool rounded_more(const at::Tensor& actual, const at::Tensor& expected, const at::Tensor& exact,
                  at::ScalarType dtype) {
    constexpr int64_t enough = 256;  // for the mean error to be known within some percents
    if ((dtype != at::kHalf && dtype != at::kBFloat16) || exact.numel() < enough) return false;
    const auto size = exact.abs() + 0.1 * root_mean_square(exact);
    const auto error = [&](const at::Tensor& values) { return root_mean_square((values - exact) / size); };
    if (!size.min().gt(0).item<bool>()) return false;
    const double best = error(exact.to(dtype).to(at::kDouble));
    return is_larger(error(actual), std::max(error(expected), best), same_error, exact.numel());
}

// Whether whole rows of the actual result are off by a factor, as when what they are scaled by was rounded:
// that is no larger an error than one rounding more of each element, but these come to nothing in the sum.
bool rounded_by_rows(const at::Tensor& actual, const at::Tensor& expected, const at::Tensor& exact,
                     at::ScalarType dtype) {
    constexpr int64_t enough = 16;  // of rows and columns
    constexpr double clearly = 2;
    if ((dtype != at::kHalf && dtype != at::kBFloat16) || exact.dim() == 0) return false;
    if (exact.size(-1) < enough || exact.numel() / exact.size(-1) < enough) return false;
    const auto norms = exact.square().sum(-1);
    if (!norms.gt(0).all().item<bool>()) return false;
    const auto factor = [&](const at::Tensor& values) {
        return root_mean_square(((values - exact) * exact).sum(-1) / norms);
    };
    const double best = factor(exact.to(dtype).to(at::kDouble));
    return is_larger(factor(actual), std::max(factor(expected), best), clearly,
                     exact.numel() / exact.size(-1));
}

// Whether the differences are no larger than what roundings of the inputs make, in the mean too. Where they
// choose otherwise they make any: no more than `most` counts.
bool moves_as_far(const at::Tensor& difference, const at::Tensor& sensitivity, const at::Tensor& most) {
    const double moved = root_mean_square(at::minimum(sensitivity, most));
    return root_mean_square(difference) <= moved &&
           difference.abs().le(may_move * sensitivity.clamp_min(moved)).all().item<bool>();
}

std::string kind(const at::Tensor& tensor) {
    return std::string("a ") + c10::toString(tensor.scalar_type()) + " tensor of shape " +
           c10::str(tensor.sizes());
}

std::string place(at::IntArrayRef sizes, int64_t index) {
    std::vector<int64_t> indices(sizes.size());
    for (auto dim = sizes.size(); dim-- > 0;) {
        indices[dim] = index % sizes[dim];
        index /= sizes[dim];
    }
    return c10::str(at::IntArrayRef(indices));
}

// Where both are finite, NaN or the same infinity.
at::Tensor alike(const at::Tensor& one, const at::Tensor& other) {
    const auto same_infinity = one.isinf().logical_not().logical_or(one.eq(other));
    return one.isnan()
        .eq(other.isnan())
        .logical_and(one.isinf().eq(other.isinf()))
        .logical_and(same_infinity);
}

// Whether there is one in the same slice of the first dimension.
at::Tensor any_in_slice(const at::Tensor& flags) {
    if (flags.dim() == 0) return flags;
    const int64_t slices = flags.dim() > 1 ? flags.size(0) : 1;
    std::vector<int64_t> sizes(static_cast<std::size_t>(flags.dim()), 1);
    sizes[0] = slices;
    return flags.reshape({slices, -1}).any(1).reshape(sizes);
}

// NaN where a number was expected, in a slice of the first dimension that has no numbers elsewhere.
at::Tensor nan_beside_others(const at::Tensor& actual, const at::Tensor& expected) {
    const auto finite = expected.isfinite();
    return actual.isnan().logical_and(finite).logical_and(any_in_slice(finite.logical_not()));
}

// Where NaN was expected: infinity, 0, which activations come to on the way to negative infinity, or a number
// in a slice of the first dimension that has NaN elsewhere.
at::Tensor others_beside_nan(const at::Tensor& actual, const at::Tensor& expected) {
    const auto limit = actual.isinf().logical_or(actual.eq(0));
    return expected.isnan().logical_and(limit.logical_or(any_in_slice(actual.isnan())));
}

// What is known of the expected value from the same in float64.
struct Exactly {
    const c10::IValue* value = nullptr;
    const c10::IValue* sensitivity = nullptr;

    Exactly element(std::size_t i, std::size_t size) const {
        return {part(value, i, size), part(sensitivity, i, size)};
    }
    at::Tensor tensor() const { return tensor_in(value); }
    at::Tensor tensor_sensitivity() const { return tensor_in(sensitivity); }

  private:
    static at::Tensor tensor_in(const c10::IValue* value) {
        return value != nullptr && value->isTensor() ? value->toTensor() : at::Tensor();
    }
    static const c10::IValue* part(const c10::IValue* whole, std::size_t i, std::size_t size) {
        if (whole == nullptr) return nullptr;
        if (whole->isTuple()) {
            const auto& parts = whole->toTupleRef().elements();
            return parts.size() == size ? &parts[i] : nullptr;
        }
        return whole->isList() && whole->toListRef().size() == size ? &whole->toListRef()[i] : nullptr;
    }
};

class Comparison {
  public:
    explicit Comparison(const CompareOptions& options) : m_options(options) {}

    void values(const c10::IValue& actual, const c10::IValue& expected, const Exactly& exactly);
    Difference result;

  private:
    void problem(const std::string& what) {
        if (result.problem.empty()) result.problem = what;
        result.within = false;
    }
    void tensors(const at::Tensor& actual, const at::Tensor& expected, const Exactly& exactly);
    // What the compared numbers are all or a part of.
    struct Whole {
        at::IntArrayRef sizes;
        double scale;
        at::ScalarType dtype;
    };
    void numbers(at::Tensor actual, const at::Tensor& expected, const at::Tensor& exact,
                 const at::Tensor& sensitivity, const Whole& whole, int64_t first);
    bool same_layout(const at::Tensor& actual, const at::Tensor& expected);

    const CompareOptions& m_options;
};

bool Comparison::same_layout(const at::Tensor& actual, const at::Tensor& expected) {
    if (!m_options.strides || actual.layout() != at::kStrided || actual.numel() == 0) return true;
    if (actual.is_contiguous() || !expected.is_contiguous()) return true;
    problem("strides " + c10::str(actual.strides()) + " where " + c10::str(expected.strides()) +
            " were expected");
    return false;
}

void Comparison::tensors(const at::Tensor& actual, const at::Tensor& expected, const Exactly& exactly) {
    if (actual.defined() != expected.defined()) return problem("a tensor where none was expected, or none");
    if (!actual.defined()) return;
    if (actual.sizes() != expected.sizes() || actual.scalar_type() != expected.scalar_type()) {
        return problem(kind(actual) + " where " + kind(expected) + " was expected");
    }
    if (actual.device() != expected.device() || actual.layout() != expected.layout()) {
        return problem("a tensor on another device or of another layout");
    }
    if (!same_layout(actual, expected) || actual.numel() == 0) return;
    const auto plain = [](const at::Tensor& tensor) {
        at::Tensor values = tensor.detach();
        if (values.layout() != at::kStrided) values = values.to_dense();
        if (values.is_quantized()) values = values.dequantize();
        if (values.is_complex()) values = at::view_as_real(values.resolve_conj());
        return values.cpu();
    };
    auto a = plain(actual);
    auto e = plain(expected);
    const at::Tensor exact = exactly.tensor();
    at::Tensor sensitivity = exactly.tensor_sensitivity();
    if (sensitivity.defined() && sensitivity.sizes() != expected.sizes()) sensitivity = at::Tensor();
    if (!e.is_floating_point()) {
        auto other = a.ne(e);
        if (sensitivity.defined())
            other = other.logical_and((a.to(at::kDouble) - e.to(at::kDouble)).abs().gt(sensitivity));
        // By its own roundings the expected one chose another than the exact one.
        if (sensitivity.defined() && exact.defined() && exact.scalar_type() == e.scalar_type() &&
            exact.sizes() == e.sizes())
            other = other.logical_and(exact.cpu().eq(e));
        // Which of others a NaN is, or of several infinities, or as a whole number, nobody can say.
        const bool choices = e.scalar_type() != at::kBool && m_options.special != Special::none;
        if (choices || !other.any().item<bool>()) return;
        result.largest =
            std::max(result.largest, (a.to(at::kDouble) - e.to(at::kDouble)).abs().max().item<double>());
        return problem("other whole numbers");
    }
    const bool comparable = exact.defined() && exact.sizes() == expected.sizes() &&
                            exact.scalar_type() == at::kDouble && !expected.is_complex();
    at::Tensor t = comparable ? plain(exact) : at::Tensor();
    // Of 8 bits it is rounded there as well: as with whole numbers it may be another one.
    const bool rounded = exact.defined() && exact.scalar_type() == expected.scalar_type();
    at::Tensor s = comparable || rounded || !exact.defined() ? sensitivity : at::Tensor();
    // Large ones in parts, whole rows each: in float64 there are some copies of them.
    constexpr int64_t most_elements = int64_t{1} << 20U;
    const int64_t row = e.dim() == 0 ? 1 : e.size(-1);
    const int64_t rows = e.numel() / row;
    const bool in_parts = m_options.special == Special::none && row <= most_elements;
    const int64_t parts = in_parts ? (e.numel() + most_elements - 1) / most_elements : 1;
    const int64_t count = (rows + parts - 1) / parts;  // about as many in each: of few chance decides
    const double scale = root_mean_square(at::nan_to_num(computable(e), 0, 0, 0));  // of the finite ones
    const auto sizes = e.sizes().vec();
    const Whole whole{sizes, scale, e.scalar_type()};
    if (count < rows)
        for (at::Tensor* values : {&a, &e, &t, &s})
            if (values->defined()) *values = values->reshape({-1, row});
    for (int64_t first = 0; first < rows; first += count) {
        const auto part = [&](const at::Tensor& values) {
            return count < rows && values.defined() ? values.slice(0, first, first + count) : values;
        };
        numbers(part(a).to(at::kDouble), part(e).to(at::kDouble), part(t), part(s), whole, first * row);
    }
}

void Comparison::numbers(at::Tensor actual, const at::Tensor& expected, const at::Tensor& exact,
                         const at::Tensor& sensitivity, const Whole& whole, int64_t first) {
    const auto dtype = whole.dtype;
    // Before any of it is taken for what was expected.
    const auto less_spread = exact.defined() ? others_beside_nan(actual, expected) : expected.isnan();
    if (m_options.special == Special::nan || m_options.special == Special::infinity)
        actual = at::where(nan_beside_others(actual, expected), expected, actual);
    if (m_options.special == Special::infinity || m_options.special == Special::negative_infinity)
        actual = at::where(less_spread, expected, actual);
    // torch's own GELU of infinity is NaN on some machines: where the expected result is not of the kind that
    // it is in float64, the actual one may be.
    auto other = alike(actual, expected).logical_not();
    if (exact.defined()) other = other.logical_and(alike(actual, exact).logical_not());
    if (other.any().item<bool>()) {
        result.largest = std::numeric_limits<double>::infinity();
        const bool is_nan = at::logical_xor(actual.isnan(), expected.isnan()).any().item<bool>();
        return problem(is_nan ? "NaN at other places" : "infinity at other places");
    }
    const auto finite = expected.isfinite().logical_and(actual.isfinite());
    const bool all = finite.all().item<bool>();  // then nothing large is copied
    const auto of_finite = [&](const at::Tensor& values) {
        return all ? values : values.masked_fill(finite.logical_not(), 0);
    };
    auto a = of_finite(actual);
    const auto e = of_finite(expected);
    const auto distance = [&] { return (a - e).abs_(); };
    const double largest = distance().max().item<double>();
    result.largest = std::max(result.largest, largest);

    const double tolerance = default_tolerance(dtype);
    const double scale = whole.scale;
    const double usual = std::max(tolerance, tolerance_for(m_options.moved_by));
    double slack = m_options.tolerance.absolute.value_or(tolerance * scale);
    bool error_fits = false;
    if (exact.defined() && at::equal(exact.isfinite().logical_and(expected.isnan().logical_not()), finite) &&
        !m_options.tolerance.given()) {
        const auto t = of_finite(exact);
        const auto forgive = [&](const at::Tensor& moves, double least) {
            const auto unsure = moves.gt(least * (e.abs() + scale));
            a = at::where(unsure.logical_and((a - t).abs().le(may_move * sensitivity)), e, a);
        };
        // In narrow dtypes roundings alone move any result by some of the tolerance, and are looked at below.
        const bool narrow = usual > default_tolerance(at::kFloat);
        if (sensitivity.defined() && narrow) forgive(sensitivity, usual);
        if (sensitivity.defined() && !narrow) forgive(may_move * sensitivity, error_of_roundings(dtype));
        const double own = root_mean_square(e - t);
        const double error = root_mean_square(a - t);
        const double rounding = error_of_roundings(dtype) * scale;
        slack += worst_of_errors * own;
        error_fits = error <= worse_error * own + rounding &&
                     (a - t).abs_().max().item<double>() <=
                         worse_error * (e - t).abs_().max().item<double>() + worst_of_errors * rounding;
        const bool larger = error > worse_error * own + rounding;
        if (larger ||
            (m_options.roundings && (rounded_more(a, e, t, dtype) || rounded_by_rows(a, e, t, dtype)))) {
            result.roundings = result.within && !larger;
            return problem("a mean error of " + c10::str(error) + " where the original's is " +
                           c10::str(own));
        }
        if (sensitivity.defined() && narrow) forgive(may_move * sensitivity, usual);
    }
    if (!exact.defined() && sensitivity.defined()) {
        if (moves_as_far(a - e, sensitivity, 4 * usual * (e.abs() + scale))) return;
        a = at::where(distance().le(may_move * sensitivity), e, a);
    }
    const auto excess =
        distance().sub_(e.abs().mul_(m_options.tolerance.relative.value_or(tolerance)).add_(slack));
    const auto index = excess.argmax().item<int64_t>();
    if (excess.flatten()[index].item<double>() <= 0 || error_fits) return;
    problem("by up to " + c10::str(largest) + ", at " + place(whole.sizes, first + index) + " " +
            c10::str(a.flatten()[index].item<double>()) + " where " +
            c10::str(e.flatten()[index].item<double>()) + " was expected");
}

void Comparison::values(const c10::IValue& actual, const c10::IValue& expected, const Exactly& exactly) {
    if (actual.isTensor() && expected.isTensor())
        return tensors(actual.toTensor(), expected.toTensor(), exactly);
    if (actual.isTuple() && expected.isTuple()) {
        const auto& a = actual.toTupleRef().elements();
        const auto& e = expected.toTupleRef().elements();
        if (a.size() != e.size()) return problem("a tuple of another length");
        for (std::size_t i = 0; i < a.size(); ++i)
            values(a[i], e[i], exactly.element(i, e.size()));
        return;
    }
    if (actual.isList() && expected.isList()) {
        const auto a = actual.toListRef();
        const auto e = expected.toListRef();
        if (a.size() != e.size()) return problem("a list of another length");
        for (std::size_t i = 0; i < a.size(); ++i)
            values(a[i], e[i], exactly.element(i, e.size()));
        return;
    }
    if (actual.isGenericDict() && expected.isGenericDict()) {
        if (actual.toGenericDict().size() != expected.toGenericDict().size())
            return problem("a dictionary with other keys");
        for (const auto& item : expected.toGenericDict()) {
            const auto other = actual.toGenericDict().find(item.key());
            if (other == actual.toGenericDict().end()) return problem("a dictionary with other keys");
            values(other->value(), item.value(), {});
        }
        return;
    }
    if (actual.tagKind() != expected.tagKind()) {
        return problem("a " + actual.tagKind() + " where a " + expected.tagKind() + " was expected");
    }
    if (!actual.equals(expected).toBool()) problem("another " + expected.tagKind());
}

}  // namespace

Difference compare(const c10::IValue& actual, const c10::IValue& expected, const CompareOptions& options) {
    Comparison comparison(options);
    comparison.values(actual, expected, {options.exact, options.sensitivity});
    return comparison.result;
}

}  // namespace kernels::torchscript
