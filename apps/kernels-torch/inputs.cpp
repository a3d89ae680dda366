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

torchscript::Tolerance read_tolerance(const Arguments& arguments) {
    return {arguments.real("--rtol"), arguments.real("--atol")};
}

}  // namespace kernels::app
