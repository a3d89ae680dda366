#include <doctest/doctest.h>

#include <string>

#include "kernels/core/error.hpp"
#include "kernels/layer/mode.hpp"
#include "kernels/layer/selection.hpp"

using namespace kernels;
using layer::Mode;

namespace {

std::string candidates(const std::string& mode) {
    std::string text;
    for (const auto candidate : Mode::parse(mode).candidates())
        text += candidate.to_string() + " ";
    return text;
}

project::Project mapping(const std::string& entries) {
    return project::parse(entries, "kernels.toml");
}

std::string entry(const std::string& device, const std::string& mode, const std::string& layer) {
    return "[[layers]]\nname = \"L\"\ndevice = " + device + "\nmode = \"" + mode +
           "\"\nrepo = \"a/k\"\nlayer = \"" + layer + "\"\n";
}

std::string chosen(const project::Project& project, const std::string& device, std::optional<int> capability,
                   const std::string& mode) {
    const auto choice = layer::choose(project.layers, "L", device, capability, Mode::parse(mode));
    return choice.entry != nullptr ? choice.entry->layer : choice.reason;
}

}  // namespace

TEST_CASE("Modes: combinations and the order in which a mapping is searched") {
    CHECK(candidates("inference") ==
          "inference inference|torch-compile training training|torch-compile fallback ");
    CHECK(candidates("training") == "training training|torch-compile fallback ");
    CHECK(candidates("inference|torch-compile") ==
          "inference|torch-compile training|torch-compile fallback ");
    CHECK(candidates("training|torch-compile") == "training|torch-compile fallback ");
    CHECK(Mode::parse("") == Mode::fallback);
    CHECK_THROWS_AS(Mode::fallback.candidates(), Error);
    for (const char* bad : {"inference|training", "fallback|inference", "torch-compile", "infer"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(Mode::parse(bad), Error);
    }
}

TEST_CASE("The smallest interval that holds the capability wins, then the mode") {
    const auto project =
        mapping(entry("\"cuda\"", "", "Any") +
                entry("{ type = \"cuda\", min-capability = 75, max-capability = 90 }", "", "Wide") +
                entry("{ type = \"cuda\", min-capability = 80, max-capability = 89 }", "training", "Narrow"));
    CHECK(chosen(project, "cuda", 70, "inference") == "Any");
    CHECK(chosen(project, "cuda", 90, "inference") == "Wide");
    CHECK(chosen(project, "cuda", 80, "inference") == "Narrow");
    CHECK(chosen(project, "cuda", 89, "training") == "Narrow");
    // The interval is chosen first: what it lacks in modes no wider one makes up.
    CHECK(chosen(project, "cuda", 85, "training|torch-compile") ==
          "L has no kernel for the mode training|torch-compile");
    CHECK(chosen(project, "cuda", std::nullopt, "inference") == "Any");
    CHECK(chosen(project, "cpu", std::nullopt, "inference") == "L has no kernel for the device cpu");
}

TEST_CASE("Of two entries for the same place the later counts") {
    const auto project =
        mapping(entry("\"cpu\"", "inference", "First") + entry("\"cpu\"", "inference", "Second"));
    CHECK(chosen(project, "cpu", std::nullopt, "inference") == "Second");
}

TEST_CASE("A mapping that cannot be is refused with its place") {
    const auto refused = [](const std::string& text) -> std::string {
        try {
            layer::check_mapping(mapping(text));
        } catch (const Error& error) {
            return error.what();
        }
        return "nothing was refused";
    };
    CHECK(refused(entry("\"cpu\"", "inference", "X")) == "nothing was refused");
    CHECK(refused(entry("\"gpu\"", "", "X"))
              .starts_with("kernels.toml:1: layers[0].device: `gpu` is no device"));
    CHECK(refused(entry("\"cpu\"", "fast", "X")).starts_with("kernels.toml:1: layers[0].mode: "));
    CHECK(refused(entry("{ type = \"cpu\", min-capability = 1 }", "", "X")).find("has no capabilities") !=
          std::string::npos);
    CHECK(refused(entry("{ type = \"cuda\", min-capability = 90, max-capability = 80 }", "", "X"))
              .find("greater") != std::string::npos);
}
