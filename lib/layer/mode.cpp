#include "kernels/layer/mode.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {

const Mode Mode::inference{inference_flag};
const Mode Mode::training{training_flag};
const Mode Mode::fallback{fallback_flag};

Mode Mode::parse(std::string_view text) {
    if (trimmed(text).empty()) return fallback;
    unsigned flags = 0;
    for (const auto part : split(text, '|')) {
        const std::string name = lower(trimmed(part));
        if (name == "inference") {
            flags |= inference_flag;
        } else if (name == "training") {
            flags |= training_flag;
        } else if (name == "torch-compile" || name == "torch_compile") {
            flags |= compile_flag;
        } else if (name == "fallback") {
            flags |= fallback_flag;
        } else {
            const std::vector<std::string> known = {"inference", "training", "torch-compile", "fallback"};
            const auto hint = did_you_mean(name, known);
            throw Error(ErrorCode::usage, backquoted(text) + ": " + backquoted(name) + " is no mode",
                        hint.empty() ? "modes: " + join(known, ", ") : hint);
        }
    }
    const bool both = (flags & inference_flag) != 0 && (flags & training_flag) != 0;
    if (both) throw Error(ErrorCode::usage, backquoted(text) + ": inference and training exclude each other");
    if ((flags & fallback_flag) != 0 && flags != fallback_flag) {
        throw Error(ErrorCode::usage, backquoted(text) + ": fallback combines with no other mode");
    }
    if (flags == compile_flag) {
        throw Error(ErrorCode::usage,
                    backquoted(text) + ": torch-compile needs inference or training beside it",
                    "write inference|torch-compile");
    }
    return Mode(flags);
}

std::string Mode::to_string() const {
    if (is_fallback()) return "fallback";
    std::string text = is_inference() ? "inference" : "training";
    return is_torch_compile() ? text + "|torch-compile" : text;
}

std::vector<Mode> Mode::candidates() const {
    if (is_fallback()) throw Error(ErrorCode::usage, "a model cannot be kernelized for the mode fallback");
    const Mode inference_compile(inference_flag | compile_flag);
    const Mode training_compile(training_flag | compile_flag);
    if (is_torch_compile()) {
        if (is_inference()) return {inference_compile, training_compile, fallback};
        return {training_compile, fallback};
    }
    if (is_inference()) return {inference, inference_compile, training, training_compile, fallback};
    return {training, training_compile, fallback};
}

}  // namespace kernels::layer
