#include "kernels/layer/mode.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::layer {
namespace {

Mode parse_word(std::string_view word, std::string_view text) {
    const std::string name = lower(trimmed(word));
    if (name == "inference") return Mode::inference;
    if (name == "training") return Mode::training;
    if (name == "torch-compile" || name == "torch_compile") return Mode::torch_compile;
    if (name == "fallback") return Mode::fallback;
    const std::vector<std::string> known = {"inference", "training", "torch-compile", "fallback"};
    const auto hint = did_you_mean(name, known);
    const std::string whole = lower(trimmed(text)) == name ? "" : backquoted(text) + ": ";
    throw Error(ErrorCode::usage, whole + backquoted(name) + " is no mode",
                hint.empty() ? "modes: " + join(known, ", ") : hint);
}

}  // namespace

Mode operator|(Mode left, Mode right) {
    const Mode both(left.m_flags | right.m_flags);
    if (both.is_inference() && both.is_training()) {
        throw Error(ErrorCode::usage,
                    "inference and training exclude each other: " + backquoted(both.to_string()));
    }
    if (both.contains(Mode::fallback) && !both.is_fallback()) {
        throw Error(ErrorCode::usage,
                    "fallback combines with no other mode: " + backquoted(both.to_string()));
    }
    return both;
}

Mode Mode::parse(std::string_view text) {
    if (trimmed(text).empty()) return fallback;
    const auto words = split(text, '|');
    Mode mode = parse_word(words.front(), text);
    for (std::size_t i = 1; i < words.size(); ++i)
        mode |= parse_word(words[i], text);
    return mode;
}

std::string Mode::to_string() const {
    std::vector<std::string> words;
    if (contains(fallback)) words.emplace_back("fallback");
    if (is_inference()) words.emplace_back("inference");
    if (is_training()) words.emplace_back("training");
    if (is_torch_compile()) words.emplace_back("torch-compile");
    return join(words, "|");
}

void Mode::require_mappable() const {
    if (*this != torch_compile) return;
    throw Error(ErrorCode::usage, "`torch-compile` needs inference or training beside it",
                "write inference|torch-compile or training|torch-compile");
}

void Mode::require_use() const {
    if (is_fallback()) {
        throw Error(ErrorCode::usage, "`fallback` is a mode for mappings alone: no model is used in it",
                    "name inference or training");
    }
    require_mappable();
}

std::vector<Mode> Mode::candidates() const {
    require_use();
    const Mode inference_compile = inference | torch_compile;
    const Mode training_compile = training | torch_compile;
    if (is_torch_compile()) {
        if (is_inference()) return {inference_compile, training_compile, fallback};
        return {training_compile, fallback};
    }
    if (is_inference()) return {inference, inference_compile, training, training_compile, fallback};
    return {training, training_compile, fallback};
}

}  // namespace kernels::layer
