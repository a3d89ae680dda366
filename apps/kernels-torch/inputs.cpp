#include "inputs.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "crash_guard.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/torch/model.hpp"

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

[[noreturn]] void refuse(const std::string& text, const std::string& why, const std::string& hint = {}) {
    throw Error(ErrorCode::usage, "--input " + backquoted(text) + ": " + why, hint);
}

// What this machine has.
std::uint64_t physical_memory() {
    return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

// The whole of `text` as a number; nothing when it is none.
template <typename Number>
std::optional<Number> parse(std::string_view text, std::errc& status) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    status = error;
    if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// "1,16" as sizes whose tensor fits the memory.
std::vector<std::int64_t> parse_shape(const std::string& text, std::string_view sizes) {
    constexpr std::size_t most_dimensions = 64;  // of libtorch's iterators
    std::vector<std::int64_t> shape;
    std::uint64_t bytes = 8;  // an element while it is made
    for (const auto part : split(sizes, ',')) {
        auto status = std::errc();
        const auto size = parse<std::int64_t>(part, status);
        if (!size || *size < 0) refuse(text, backquoted(std::string(part)) + " is no size");
        const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(*size, 1));
        if (status == std::errc::result_out_of_range || factor > physical_memory() / bytes) {
            refuse(text, "it needs more than the " + std::to_string(physical_memory() >> 20U) +
                             " MiB of memory of this machine");
        }
        bytes *= factor;
        shape.push_back(*size);
    }
    if (shape.size() > most_dimensions)
        refuse(text, "more than " + std::to_string(most_dimensions) + " dimensions");
    return shape;
}

std::optional<at::Tensor> make_tensor(const std::string& text) {
    const auto open = text.find('[');
    if (open == std::string::npos || open == 0 || !text.ends_with(']') || text.find('/') < open)
        return std::nullopt;
    const std::string name = text.substr(0, open);
    const auto dtype = dtypes().find(name);
    if (dtype == dtypes().end()) {
        std::vector<std::string> names;
        for (const auto& [known, type] : dtypes())
            names.push_back(known);
        refuse(text, name + " is no dtype", "dtypes: " + join(names, ", "));
    }
    const std::string sizes = text.substr(open + 1, text.size() - open - 2);
    const auto shape = sizes.empty() ? std::vector<std::int64_t>() : parse_shape(text, sizes);
    if (at::isIntegralType(dtype->second, true))
        return at::randint(0, 10, shape, at::kLong).to(dtype->second);
    return at::randn(shape).to(dtype->second);
}

c10::IValue read_tensor(const std::string& path) {
    std::error_code error;
    if (!std::filesystem::exists(path, error))
        refuse(path, "neither a file nor a type and shape", "write a shape as int64[1,16]");
    // It is in memory twice while it is read.
    return torchscript::load_values(path, physical_memory() / 2);
}

// A file does not say of which type its lists and dictionaries are; the model does.
c10::IValue fitted(const c10::IValue& value, const c10::TypePtr& type) {
    if (const auto optional = type->cast<c10::OptionalType>())
        return value.isNone() ? value : fitted(value, optional->getElementType());
    if (const auto dict = type->cast<c10::DictType>(); dict && value.isGenericDict()) {
        c10::impl::GenericDict typed(dict->getKeyType(), dict->getValueType());
        for (const auto& item : value.toGenericDict())
            typed.insert(item.key(), fitted(item.value(), dict->getValueType()));
        return typed;
    }
    if (const auto list = type->cast<c10::ListType>(); list && value.isList()) {
        c10::impl::GenericList typed(list->getElementType());
        for (const auto& element : value.toListRef())
            typed.push_back(fitted(element, list->getElementType()));
        return typed;
    }
    if (const auto tuple = type->cast<c10::TupleType>(); tuple && value.isTuple()) {
        const auto& elements = value.toTupleRef().elements();
        std::vector<c10::IValue> typed;
        for (std::size_t i = 0; i < elements.size() && i < tuple->elements().size(); ++i)
            typed.push_back(fitted(elements[i], tuple->elements()[i]));
        if (typed.size() == elements.size()) return c10::ivalue::Tuple::create(std::move(typed));
    }
    return value;
}

std::optional<c10::IValue> make_scalar(const std::string& text) {
    if (text == "none") return c10::IValue();
    if (text == "true" || text == "false") return c10::IValue(text == "true");
    const std::string_view number = std::string_view(text).substr(text.starts_with('+') ? 1 : 0);
    // "inf", "nan" and "-+1" are names of files.
    const auto first = number.find_first_not_of('-');
    if (first > 1 || first == std::string_view::npos || number.find_first_of("0123456789.", first) != first)
        return std::nullopt;
    auto status = std::errc();
    std::optional<c10::IValue> value;
    if (const auto whole = parse<std::int64_t>(number, status)) {
        value = *whole;
    } else if (const auto real = parse<double>(number, status)) {
        value = *real;
    }
    if (value && status == std::errc::result_out_of_range) refuse(text, "out of range");
    return value;
}

}  // namespace

std::vector<c10::IValue> read_inputs(const Context& context, const torch::jit::Module& model) {
    const Arguments& arguments = context.arguments;
    const auto given = arguments.values("--input");
    if (given.empty()) {
        throw Error(ErrorCode::usage, "there is no input",
                    "add --input FILE or --input SHAPE, such as int64[1,16]");
    }
    CrashGuard guard(ErrorCode::failed, "libtorch crashed while it read an input",
                     "the file is made to do harm, or damaged before it was written", context.json);
    at::manual_seed(static_cast<uint64_t>(arguments.number("--seed", 0).value_or(0)));
    std::vector<c10::IValue> inputs;
    for (const auto& text : given) {
        guard.about_to("--input " + backquoted(text));
        if (const auto tensor = make_tensor(text)) {
            inputs.emplace_back(*tensor);
        } else if (const auto scalar = make_scalar(text)) {
            inputs.push_back(*scalar);
        } else {
            inputs.push_back(read_tensor(text));
        }
    }
    const auto schema = model.get_method("forward").function().getSchema();
    for (std::size_t i = 0; i < inputs.size() && i + 1 < schema.arguments().size(); ++i)
        inputs[i] = fitted(inputs[i], schema.arguments()[i + 1].type());
    return inputs;
}

torchscript::Tolerance read_tolerance(const Arguments& arguments) {
    return {arguments.real("--rtol"), arguments.real("--atol")};
}

}  // namespace kernels::app
