#include <doctest/doctest.h>

#include <string>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/layer/mapping.hpp"
#include "layer_repository.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using layer::CUDAProperties;
using layer::Device;
using layer::KernelMapping;
using layer::Mode;
using layer::ModeRepositories;
using layer::testing::repository;

namespace {

// "L cuda[75..90] training=X, …", a line an entry.
std::string text(const KernelMapping& mapping) {
    std::string lines;
    for (const auto& entry : mapping.entries()) {
        lines += entry.layer + " " + entry.device.to_string();
        for (const auto& [mode, one] : entry.repositories.all())
            lines += " " + mode.to_string() + "=" + layer::member_name(one);
        lines += "\n";
    }
    return lines;
}

std::string parsed(const std::string& toml) {
    return text(layer::mapping_of(project::parse(toml, "kernels.toml"), nullptr));
}

std::string entry(const std::string& device, const std::string& mode, const std::string& layer) {
    return "[[layers]]\nname = \"L\"\ndevice = " + device + "\nmode = \"" + mode +
           "\"\nrepo = \"a/k\"\nlayer = \"" + layer + "\"\n";
}

std::string refused(const std::string& toml) {
    try {
        parsed(toml);
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::project_file);
        return error.what();
    }
    return "nothing was refused";
}

}  // namespace

TEST_CASE("Mappings with equal repositories at the same places are equal") {
    const KernelMapping mapping{{"L", "cpu", repository("Any")},
                                {"L", Device("cuda", CUDAProperties(75, 90)), repository("Any")}};
    CHECK(mapping == KernelMapping{{"L", Device("cuda", CUDAProperties(75, 90)), repository("Any")},
                                   {"L", "cpu", {{Mode::fallback, repository("Any")}}}});
    CHECK(mapping != KernelMapping{{"L", "cpu", repository("Any")}});
    CHECK(mapping != KernelMapping{{"L", "cpu", repository("Any")},
                                   {"L", Device("cuda", CUDAProperties(75, 89)), repository("Any")}});
    CHECK(mapping != KernelMapping{{"L", "cpu", repository("Other")},
                                   {"L", Device("cuda", CUDAProperties(75, 90)), repository("Any")}});
    CHECK(mapping != KernelMapping{{"L", "cpu", {{Mode::inference, repository("Any")}}},
                                   {"L", Device("cuda", CUDAProperties(75, 90)), repository("Any")}});
    // What was erased leaves nothing behind.
    auto emptied = mapping;
    emptied.erase("L", "cpu");
    emptied.erase("L", "cuda");
    CHECK(emptied == KernelMapping{});
}

TEST_CASE("What is put at a place replaces all its modes") {
    KernelMapping mapping{
        {"L", "cpu", {{Mode::inference, repository("I")}, {Mode::training, repository("T")}}},
        {"L", "cuda", repository("Any")}};
    CHECK(text(mapping) == "L cpu training=T inference=I\nL cuda fallback=Any\n");
    mapping.merge({{"L", "cpu", {{Mode::training, repository("T2")}}}, {"M", "cpu", repository("M")}});
    CHECK(text(mapping) == "L cpu training=T2\nL cuda fallback=Any\nM cpu fallback=M\n");
    mapping.add("L", "cpu", Mode::inference, repository("I2"));
    CHECK(text(mapping) == "L cpu training=T2 inference=I2\nL cuda fallback=Any\nM cpu fallback=M\n");
    mapping.erase("L", "cuda");
    mapping.erase("M", "cpu");
    mapping.erase("N", "cpu");
    CHECK(mapping.layer_names() == std::vector<std::string>{"L"});
}

TEST_CASE("The same interval is the same place, another one is another") {
    KernelMapping mapping{{"L", {"cuda", CUDAProperties(75, 90)}, repository("A")},
                          {"L", {"cuda", CUDAProperties(75, 89)}, repository("B")},
                          {"L", {"cuda", CUDAProperties(75, 90)}, repository("C")},
                          {"L", "cuda", repository("D")}};
    CHECK(text(mapping) == "L cuda fallback=D\nL cuda[75..89] fallback=B\nL cuda[75..90] fallback=C\n");
    mapping.set("L", {"cuda", CUDAProperties(0, layer::CapabilityInterval::unlimited)}, repository("E"));
    CHECK(text(mapping) == "L cuda[..] fallback=E\nL cuda[75..89] fallback=B\nL cuda[75..90] fallback=C\n");
}

TEST_CASE("What cannot be in a mapping is refused, and the mapping stays as it was") {
    KernelMapping mapping{{"L", "cpu", repository("X")}};
    CHECK_THROWS_AS(mapping.set("", "cpu", repository("Y")), Error);
    CHECK_THROWS_AS(mapping.set("L", "cpu", ModeRepositories{}), Error);
    CHECK_THROWS_AS(mapping.add("L", "cpu", Mode::torch_compile, repository("Y")), Error);
    CHECK_THROWS_AS((ModeRepositories{{Mode::torch_compile, repository("Y")}}), Error);
    CHECK(text(mapping) == "L cpu fallback=X\n");
}

TEST_CASE("A project's entries for one place are one with several modes, and one mode stands once") {
    CHECK(parsed(entry("\"cpu\"", "inference", "First") + entry("\"cpu\"", "training", "T")) ==
          "L cpu training=T inference=First\n");
    CHECK_THROWS_WITH_AS(
        parsed(entry("\"cpu\"", "inference", "First") + entry("\"cpu\"", "training", "T") +
               entry("\"cpu\"", "inference", "Second")),
        "kernels.toml:13: layers[2]: `L` on cpu for inference has a repository already, in line 1", Error);
    CHECK(parsed(entry("{ type = \"rocm\", min-capability = 90 }", "", "X")) == "L rocm[90..] fallback=X\n");
    CHECK(parsed(entry("{ type = \"cuda\", max-capability = 89 }", "", "X")) == "L cuda[..89] fallback=X\n");
    CHECK(parsed(entry("{ type = \"cuda\" }", "training|torch-compile", "X")) ==
          "L cuda training|torch-compile=X\n");
}

TEST_CASE("A project's entries become the six kinds of repository") {
    const std::string head = "[[layers]]\nname = \"L\"\ndevice = \"cpu\"\n";
    const auto kind = [&](const std::string& source) {
        const auto project =
            project::parse("trust-remote-code = [\"a/k\"]\n" + head + source, "p/kernels.toml");
        return layer::mapping_of(project, nullptr).entries().at(0).repositories.all().at(Mode::fallback);
    };
    const project::TrustPolicy trust{"a/k"};
    CHECK(kind("repo = \"a/k\"\nversion = 2\nlayer = \"X\"") ==
          layer::Repository(layer::LayerRepository("a/k", "X", KernelVersion{2}, trust)));
    CHECK(kind("repo = \"a/k\"\nrevision = \"main\"\nfunc = \"f\"\ntrust-remote-code = true") ==
          layer::Repository(layer::FuncRepository("a/k", "f", Revision{"main"}, true)));
    CHECK(kind("repo = \"a/k\"\nversion = 2\nlayer = \"X\"\ntrust-remote-code = false") ==
          layer::Repository(layer::LayerRepository("a/k", "X", KernelVersion{2}, {})));
    CHECK(kind("path = \"k\"\nlayer = \"X\"") == layer::Repository(layer::LocalLayerRepository("p/k", "X")));
    CHECK(kind("path = \"k\"\nfunc = \"f\"") == layer::Repository(layer::LocalFuncRepository("p/k", "f")));
    CHECK(kind("repo = \"a/k\"\nlayer = \"X\"") ==
          layer::Repository(layer::LockedLayerRepository(RepoId::parse("a/k"), "X", nullptr, trust)));
    CHECK(kind("repo = \"a/k\"\nfunc = \"f\"") ==
          layer::Repository(layer::LockedFuncRepository(RepoId::parse("a/k"), "f", nullptr, trust)));
}

TEST_CASE("An entry can be locked by another project's lock") {
    const testing::TemporaryFolder folder;
    write_file(folder / "other.lock",
               R"([{"dependency": {"repo-id": "a/k", "version": 1}, "lock": {"commit": ")" +
                   std::string(40, '7') + R"("}}])");
    const std::string head = "[[layers]]\nname = \"L\"\ndevice = \"cpu\"\nlayer = \"X\"\nrepo = \"a/k\"\n";
    const auto file = folder / "kernels.toml";
    const auto project = project::parse(head + "lock = \"other.lock\"\n", file);
    const auto repository =
        layer::mapping_of(project, nullptr).entries().at(0).repositories.all().at(Mode::fallback);
    CHECK(std::get<layer::LockedLayerRepository>(repository).entry().commit.to_string() ==
          std::string(40, '7'));
    const auto missing = project::parse(head + "lock = \"none.lock\"\n", file);
    CHECK_THROWS_WITH_AS(layer::mapping_of(missing, nullptr),
                         doctest::Contains("kernels.toml:6: layers[0].lock: "), Error);
    CHECK_THROWS_WITH_AS(project::parse(head + "lock = \"x\"\nversion = 1\n", file),
                         doctest::Contains("layers[0].lock: stands instead of a version"), Error);
}

TEST_CASE("A project's entry that cannot be is refused with file, line and key") {
    CHECK(refused(entry("\"cpu\"", "inference", "X")) == "nothing was refused");
    CHECK(refused("\n" + entry("\"gpu\"", "", "X")) ==
          "kernels.toml:4: layers[0].device: `gpu` is no device");
    CHECK(
        refused("[[layers]]\nname = \"L\"\nrepo = \"a/k\"\nlayer = \"X\"\n[layers.device]\ntype = \"gpu\"") ==
        "kernels.toml:6: layers[0].device.type: `gpu` is no device");
    CHECK(refused(entry("\"cpu\"", "", "X") + entry("\"cpu\"", "fast", "X")) ==
          "kernels.toml:10: layers[1].mode: `fast` is no mode");
    CHECK(refused(entry("\"cpu\"", "torch-compile", "X")) ==
          "kernels.toml:4: layers[0].mode: `torch-compile` needs inference or training beside it");
    CHECK(refused(entry("\"cpu\"", "inference|training", "X")) ==
          "kernels.toml:4: layers[0].mode: inference and training exclude each other: `inference|training`");
    CHECK(refused(entry("{ type = \"cpu\", max-capability = 1 }", "", "X")) ==
          "kernels.toml:3: layers[0].device.max-capability: cpu has no capabilities");
    CHECK(refused(entry("{ type = \"cuda\", min-capability = 90, max-capability = 80 }", "", "X")) ==
          "kernels.toml:3: layers[0].device.min-capability: is greater than max-capability (90 > 80)");
}
