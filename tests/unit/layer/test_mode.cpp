#include <doctest/doctest.h>

#include <string>
#include <unordered_set>

#include "kernels/core/error.hpp"
#include "kernels/layer/mode.hpp"

using namespace kernels;
using layer::Mode;

namespace {

std::string candidates(Mode mode) {
    std::string text;
    for (const auto candidate : mode.candidates())
        text += candidate.to_string() + " ";
    return text;
}

}  // namespace

TEST_CASE("A mapping is searched for a mode's candidates in this order") {
    CHECK(candidates(Mode::inference) ==
          "inference inference|torch-compile training training|torch-compile fallback ");
    CHECK(candidates(Mode::training) == "training training|torch-compile fallback ");
    CHECK(candidates(Mode::inference | Mode::torch_compile) ==
          "inference|torch-compile training|torch-compile fallback ");
    CHECK(candidates(Mode::training | Mode::torch_compile) == "training|torch-compile fallback ");
}

TEST_CASE("Modes combine by the rules, whatever the order, and each violation names the modes") {
    CHECK((Mode::inference | Mode::torch_compile) == (Mode::torch_compile | Mode::inference));
    CHECK((Mode::inference | Mode::inference) == Mode::inference);
    CHECK((Mode::fallback | Mode::fallback) == Mode::fallback);
    CHECK_THROWS_WITH_AS(Mode::inference | Mode::training,
                         "inference and training exclude each other: `inference|training`", Error);
    CHECK_THROWS_WITH_AS((Mode::training | Mode::torch_compile) | Mode::inference,
                         "inference and training exclude each other: `inference|training|torch-compile`",
                         Error);
    for (const Mode other : {Mode::inference, Mode::training, Mode::torch_compile}) {
        CAPTURE(other.to_string());
        CHECK_THROWS_AS(Mode::fallback | other, Error);
        CHECK_THROWS_AS(other | Mode::fallback, Error);
    }
    Mode mode = Mode::training;
    CHECK_THROWS_AS(mode |= Mode::inference, Error);
    CHECK(mode == Mode::training);
}

TEST_CASE("torch_compile alone is a value, but no use of a model and no place of a mapping") {
    CHECK(Mode::torch_compile.is_torch_compile());
    CHECK_THROWS_AS(Mode::torch_compile.require_use(), Error);
    CHECK_THROWS_AS(Mode::torch_compile.require_mappable(), Error);
    CHECK_THROWS_AS(Mode::torch_compile.candidates(), Error);
    CHECK_THROWS_AS(Mode::fallback.require_use(), Error);
    CHECK_NOTHROW(Mode::fallback.require_mappable());
    CHECK_NOTHROW((Mode::training | Mode::torch_compile).require_use());
}

TEST_CASE("A mode's text is read back, and what is no mode is refused") {
    for (const char* text : {"inference", "training", "torch-compile", "fallback", "inference|torch-compile",
                             "training|torch-compile"}) {
        CHECK(Mode::parse(text).to_string() == text);
    }
    CHECK(Mode::parse("") == Mode::fallback);
    CHECK(Mode::parse(" Torch_Compile | INFERENCE ") == (Mode::inference | Mode::torch_compile));
    for (const char* bad : {"inference|training", "fallback|inference", "infer", "inference|", "|"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(Mode::parse(bad), Error);
    }
    try {
        Mode::parse("trainig");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::usage);
        CHECK(error.hint() == "did you mean `training`?");
    }
}

TEST_CASE("Modes can be hashed") {
    const std::unordered_set<Mode> modes{Mode::inference, Mode::training,
                                         Mode::inference | Mode::torch_compile, Mode::inference};
    CHECK(modes.size() == 3);
}
