#include "inputs.hpp"

#include <map>
#include <optional>
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
    static const std::regex whole(R"([-+]?\d+)");
    static const std::regex real(R"([-+]?(\d+\.\d*|\.?\d+)([eE][-+]?\d+)?)");
    if (text == "none") return c10::IValue();
    if (text == "true" || text == "false") return c10::IValue(text == "true");
    try {
        if (std::regex_match(text, whole)) return c10::IValue(static_cast<int64_t>(std::stoll(text)));
        if (std::regex_match(text, real)) return c10::IValue(std::stod(text));
    } catch (const std::out_of_range&) {
        throw Error(ErrorCode::usage, "--input " + backquoted(text) + ": out of range");
    }
    return std::nullopt;
}

}  // namespace

std::vector<c10::IValue> read_inputs(const Arguments& arguments, const torch::jit::Module& model) {
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
