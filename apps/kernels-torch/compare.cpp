#include "compare.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

const std::map<std::string, at::ScalarType>& dtypes() {
    static const std::map<std::string, at::ScalarType> names = {
        {"float32", at::kFloat}, {"f32", at::kFloat}, {"float64", at::kDouble},    {"f64", at::kDouble},
        {"float16", at::kHalf},  {"f16", at::kHalf},  {"bfloat16", at::kBFloat16}, {"bf16", at::kBFloat16},
        {"int64", at::kLong},    {"i64", at::kLong},  {"int32", at::kInt},         {"i32", at::kInt},
        {"bool", at::kBool}};
    return names;
}

std::optional<at::Tensor> make_tensor(const std::string& text) {
    static const std::regex form(R"((\w+)\[((?:\d+(?:,\d+)*)?)\])");
    std::smatch match;
    if (!std::regex_match(text, match, form)) return std::nullopt;
    const auto dtype = dtypes().find(match[1].str());
    if (dtype == dtypes().end()) {
        std::vector<std::string> names;
        for (const auto& [name, type] : dtypes())
            names.push_back(name);
        throw Error(ErrorCode::usage, "--input " + backquoted(text) + ": " + match[1].str() + " is no dtype",
                    "dtypes: " + join(names, ", "));
    }
    std::vector<int64_t> shape;
    const std::string sizes = match[2].str();
    for (const auto size : split(sizes, ',')) {
        if (!size.empty()) shape.push_back(std::stoll(std::string(size)));
    }
    if (at::isIntegralType(dtype->second, true))
        return at::randint(0, 10, shape, at::kLong).to(dtype->second);
    return at::randn(shape).to(dtype->second);
}

c10::IValue read_tensor(const std::string& path) {
    const auto bytes = read_file_if_exists(path);
    if (!bytes) {
        throw Error(ErrorCode::usage, "--input " + backquoted(path) + ": neither a file nor a type and shape",
                    "write a shape as int64[1,16]");
    }
    try {
        return torch::jit::pickle_load(std::vector<char>(bytes->begin(), bytes->end()));
    } catch (const std::exception&) {
        throw Error(ErrorCode::failed, path + ": not a tensor file",
                    "write it in Python with torch.save(tensor, path)");
    }
}

// The tolerances of torch.testing.assert_close, widened for sums in another order.
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

void compare_tensors(const at::Tensor& actual, const at::Tensor& expected, std::optional<double> rtol,
                     std::optional<double> atol, Difference& difference) {
    if (actual.sizes() != expected.sizes() || actual.scalar_type() != expected.scalar_type()) {
        difference.within = false;
        difference.problem = std::string("a ") + c10::toString(actual.scalar_type()) + " tensor of shape " +
                             c10::str(actual.sizes()) + " where a " + c10::toString(expected.scalar_type()) +
                             " tensor of shape " + c10::str(expected.sizes()) + " was expected";
        return;
    }
    if (actual.numel() == 0) return;
    const double tolerance = default_tolerance(expected.scalar_type());
    const auto a = actual.detach().cpu().to(at::kDouble);
    const auto e = expected.detach().cpu().to(at::kDouble);
    const bool same_nan = at::equal(a.isnan(), e.isnan());
    auto distance = (a - e).abs();
    distance =
        distance.masked_fill(a.eq(e).logical_or(a.isnan().logical_and(e.isnan())), 0.0);  // inf - inf is NaN
    const double largest = same_nan ? distance.max().item<double>() : std::numeric_limits<double>::infinity();
    difference.largest = std::max(difference.largest, largest);
    const auto allowed = atol.value_or(tolerance) + rtol.value_or(tolerance) * e.abs();
    // Where the expected value is NaN the distance is 0 by now.
    const bool close = distance.le(allowed).logical_or(e.isnan()).all().item<bool>();
    if (!same_nan || !close) difference.within = false;
}

void compare_values(const c10::IValue& actual, const c10::IValue& expected, std::optional<double> rtol,
                    std::optional<double> atol, Difference& difference) {
    const auto compare_all = [&](const auto& a, const auto& e) {
        if (a.size() != e.size()) {
            difference.within = false;
            difference.problem = "a collection of another length";
            return;
        }
        for (std::size_t i = 0; i < a.size(); ++i) {
            compare_values(c10::IValue(a.get(i)), c10::IValue(e.get(i)), rtol, atol, difference);
        }
    };
    if (actual.isTensor() && expected.isTensor()) {
        compare_tensors(actual.toTensor(), expected.toTensor(), rtol, atol, difference);
    } else if (actual.isTuple() && expected.isTuple()) {
        c10::List<c10::IValue> a(c10::AnyType::get());
        c10::List<c10::IValue> e(c10::AnyType::get());
        for (const auto& element : actual.toTupleRef().elements())
            a.push_back(element);
        for (const auto& element : expected.toTupleRef().elements())
            e.push_back(element);
        compare_all(a, e);
    } else if (actual.isList() && expected.isList()) {
        compare_all(actual.toList(), expected.toList());
    } else if (actual.isGenericDict() && expected.isGenericDict()) {
        for (const auto& item : expected.toGenericDict()) {
            const auto other = actual.toGenericDict().find(item.key());
            if (other == actual.toGenericDict().end()) {
                difference.within = false;
                difference.problem = "a dictionary that lacks a key";
                return;
            }
            compare_values(other->value(), item.value(), rtol, atol, difference);
        }
    } else if (!actual.isTensor() && !expected.isTensor() && actual.tagKind() == expected.tagKind()) {
        if (!actual.equals(expected).toBool()) {
            difference.within = false;
            difference.problem = "another " + expected.tagKind();
        }
    } else {
        difference.within = false;
        difference.problem = "a " + actual.tagKind() + " where a " + expected.tagKind() + " was expected";
    }
}

}  // namespace

std::vector<c10::IValue> read_inputs(const Arguments& arguments) {
    const auto given = arguments.values("--input");
    if (given.empty()) {
        throw Error(ErrorCode::usage, "there is no input",
                    "add --input FILE or --input SHAPE, such as int64[1,16]");
    }
    at::manual_seed(static_cast<uint64_t>(arguments.number("--seed", 0).value_or(0)));
    std::vector<c10::IValue> inputs;
    for (const auto& text : given) {
        if (const auto tensor = make_tensor(text)) {
            inputs.emplace_back(*tensor);
        } else {
            inputs.push_back(read_tensor(text));
        }
    }
    return inputs;
}

Difference compare(const c10::IValue& actual, const c10::IValue& expected, std::optional<double> rtol,
                   std::optional<double> atol) {
    Difference difference;
    compare_values(actual, expected, rtol, atol, difference);
    return difference;
}

c10::IValue forward(torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
    const c10::InferenceMode inference;
    std::vector<c10::IValue> copies;
    for (const auto& input : inputs)
        copies.push_back(input.isTensor() ? c10::IValue(input.toTensor().clone()) : input);
    try {
        return module.forward(copies);
    } catch (const std::exception& failure) {
        // TorchScript's message is a traceback; the cause is its last line.
        std::string cause;
        for (const auto line : split(failure.what(), '\n')) {
            if (!trimmed(line).empty() && !line.starts_with("Exception raised from") &&
                !line.starts_with("frame #")) {
                cause = trimmed(line);
            }
            if (line.starts_with("Exception raised from")) break;
        }
        throw Error(ErrorCode::failed, "the model failed on this input: " + cause);
    }
}

}  // namespace kernels::app
