#include <doctest/doctest.h>

#include <string>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/project/project.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;

namespace {

// The message of the error that the text gives.
std::string refused(const std::string& text, const std::string& file = "kernels.toml") {
    try {
        project::parse(text, file);
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::project_file);
        return error.what();
    }
    return "nothing was refused";
}

}  // namespace

TEST_CASE("Bindings: conditions on attributes") {
    const std::string head = "[[bindings]]\nlayer = \"L\"\nclass = \"*.L\"\n";
    const auto project = project::parse(
        head + "when = { size = 8, eps = 0.5, fast = true, kind = \"silu\" }\n", "kernels.toml");
    const std::map<std::string, project::AttributeValue> expected{
        {"size", std::int64_t{8}}, {"eps", 0.5}, {"fast", true}, {"kind", std::string("silu")}};
    CHECK(project.bindings.at(0).when == expected);
    CHECK(project.bindings.at(0).attributes.empty());
    CHECK_THROWS_WITH_AS(project::parse(head + "when = 3\n", "kernels.toml"),
                         doctest::Contains("kernels.toml:4: bindings[0].when: is not a table"), Error);
    CHECK_THROWS_AS(project::parse(head + "when = { size = [1] }\n", "kernels.toml"), Error);
    // What is found by its form is no module that could be asked.
    const std::string pattern = "pattern = \"plain.pt\"\n";
    CHECK(refused(head + pattern + "when = { size = 8 }\n")
              .starts_with("kernels.toml:5: bindings[0].when: does not go with a pattern"));
    CHECK(refused(head + pattern + "when = {}\n").find("does not go with a pattern") != std::string::npos);
    CHECK(project::parse(head + pattern, "kernels.toml").bindings.at(0).pattern->filename() == "plain.pt");
}

TEST_CASE("No project file asks for signatures that nobody verifies") {
    CHECK(!project::parse("require-signature = false\n", "kernels.toml").dependencies);
    for (const char* wanted : {"true", "[\"a/*\"]"}) {
        CHECK(refused("require-signature = " + std::string(wanted) + "\n")
                  .starts_with("kernels.toml:1: require-signature: signatures cannot be verified"));
    }
}

TEST_CASE("A whole project file") {
    const auto project = project::parse(R"(
trust-remote-code = ["a/b"]
[dependencies]
"a/b" = 2
"a/c" = { revision = "v1" }
"a/d" = { version = 3 }
[[layers]]
name = "Norm"
device = { type = "cuda", min-capability = 80, max-capability = 90 }
mode = "inference|torch-compile"
repo = "a/b"
layer = "RMSNorm"
[[layers]]
name = "Act"
device = "cpu"
path = "local"
func = "act"
[[bindings]]
layer = "Norm"
class = "*.LlamaRMSNorm"
module = "blocks.*"
attributes = { eps = 1e-6, steps = 3, flag = true, text = "x" }
)",
                                        "folder/kernels.toml");
    const auto& dependencies = project.require_dependencies();
    REQUIRE(dependencies.size() == 3);
    CHECK(dependencies[0].to_string() == "a/b@v2");
    // A revision stays a revision, even one that looks like a version.
    REQUIRE(dependencies[1].reference.revision() != nullptr);
    CHECK(dependencies[2].reference.version()->number == 3);
    CHECK(project.trust.allows(RepoId::parse("a/b")));
    CHECK_FALSE(project.trust.allows(RepoId::parse("a/c")));
    REQUIRE(project.layers.size() == 2);
    CHECK(project.layers[0].min_capability == 80);
    CHECK(std::holds_alternative<project::LockedSource>(project.layers[0].source));
    CHECK(std::get<std::filesystem::path>(project.layers[1].source) == "folder/local");
    REQUIRE(project.bindings.size() == 1);
    CHECK(std::get<double>(project.bindings[0].attributes.at("eps")) == 1e-6);
    CHECK(std::get<std::int64_t>(project.bindings[0].attributes.at("steps")) == 3);
    CHECK(std::get<bool>(project.bindings[0].attributes.at("flag")));
    CHECK(project.lock_file() == "folder/kernels.lock");
}

TEST_CASE("Every mistake names file, line and key") {
    CHECK(
        refused("\n[dependencies]\n\"a/b\" = \"1\"\n").starts_with("kernels.toml:3: dependencies.\"a/b\": "));
    CHECK(refused("[dependencies]\n\"a\" = 1\n").starts_with("kernels.toml:2: dependencies.a: "));
    CHECK(refused("[dependencies]\n\"a/b\" = -1\n").find("negative") != std::string::npos);
    CHECK(refused("[dependencies]\n\"a/b\" = { version = 1, revision = \"x\" }\n")
              .find("stands beside a version") != std::string::npos);
    CHECK(refused("dependencies = 3\n").starts_with("kernels.toml:1: dependencies: is not a table"));
    CHECK(refused("dependancies = 3\n").find("no such key") != std::string::npos);
    CHECK(refused("x = [\n").starts_with("kernels.toml:"));
    CHECK(refused("[[layers]]\nname = \"N\"\n").starts_with("kernels.toml:1: layers[0].device: is missing"));
    CHECK(refused("[[layers]]\nname=\"N\"\ndevice=\"cpu\"\nrepo=\"a/b\"\n").find("a layer or a func") !=
          std::string::npos);
    CHECK(refused("[[bindings]]\nlayer = \"N\"\n").find("a class or a module") != std::string::npos);
    CHECK(refused("[tool.kernels.dependencies]\n\"a/b\" = 1.5\n", "pyproject.toml")
              .starts_with("pyproject.toml:2: tool.kernels.dependencies.\"a/b\": "));
}

TEST_CASE("A missing dependencies table is an error, an empty one needs nothing") {
    const auto message = [](const std::string& text) -> std::string {
        try {
            project::parse(text, "pyproject.toml").require_dependencies();
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    };
    CHECK(message("[tool.kernels]\n").find("there is no table [tool.kernels.dependencies]") !=
          std::string::npos);
    CHECK(project::parse("[tool.kernels.dependencies]\n", "pyproject.toml").require_dependencies().empty());
}

TEST_CASE("The project is found in the folder or above; two files in one folder are an error") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder / "a/b");
    CHECK_THROWS_AS(project::load(folder / "a/b"), Error);
    write_file(folder / "pyproject.toml", "[project]\nname = \"x\"\n");
    CHECK_FALSE(project::find(folder / "a/b").has_value());
    write_file(folder / "pyproject.toml", "[tool.kernels.dependencies]\n\"a/b\" = 1\n");
    CHECK(project::load(folder / "a/b").file == folder / "pyproject.toml");
    write_file(folder / "kernels.toml", "[dependencies]\n\"a/b\" = 1\n");
    CHECK_THROWS_AS(project::load(folder.path()), Error);
}

TEST_CASE("Of two keys that exclude each other the second is named, and the hint leads on") {
    const std::string head = "[[layers]]\nname = \"L\"\ndevice = \"cpu\"\nrepo = \"a/k\"\n";
    const auto hint_of = [](const std::string& text) {
        try {
            project::parse(text, "kernels.toml");
        } catch (const Error& error) {
            return error.hint();
        }
        return std::string();
    };
    const std::string both = head + "layer = \"X\"\nversion = 1\nrevision = \"main\"\n";
    CHECK(refused(both).starts_with("kernels.toml:7: layers[0].revision: stands beside a version"));
    CHECK(hint_of(both) == "remove one of the two");
    const std::string two = head + "layer = \"X\"\nfunc = \"f\"\nversion = 1\n";
    CHECK(refused(two).starts_with("kernels.toml:6: layers[0].func: stands beside a layer"));
    CHECK(hint_of(two) == "remove one of the two");
    CHECK(refused(head + "version = 1\n").starts_with("kernels.toml:1: layers[0]: needs a layer or a func"));
}

TEST_CASE("A binding names modules by class, by a glob on classes, by path, or by class and path") {
    const auto names = [](const std::string& keys, const std::string& class_name, const std::string& path) {
        return project::parse("[[bindings]]\nlayer = \"L\"\n" + keys, "kernels.toml")
            .bindings.at(0)
            .names(class_name, path);
    };
    CHECK(names("class = \"pkg.Norm\"", "pkg.Norm", "a.b"));
    CHECK_FALSE(names("class = \"pkg.Norm\"", "other.pkg.Norm", "a.b"));
    CHECK(names("class = \"*.Norm\"", "pkg.Norm", ""));
    // A glob with a dot is on the whole name, one without may be on its last part.
    CHECK_FALSE(names("class = \"*.Norm\"", "Norm", ""));
    CHECK(names("class = \"Norm\"", "Norm", ""));
    CHECK(names("class = \"Norm\"", "pkg.Norm", ""));
    CHECK(names("class = \"L*Norm\"", "pkg.LlamaNorm", ""));
    CHECK_FALSE(names("class = \"Norm\"", "pkg.LlamaNorm", ""));
    CHECK_FALSE(names("class = \"pkg\"", "pkg.Norm", ""));
    CHECK(names("module = \"blocks.*.norm\"", "any.Class", "blocks.0.norm"));
    CHECK_FALSE(names("module = \"norm\"", "any.Class", "blocks.0.norm"));
    CHECK(names("class = \"Norm\"\nmodule = \"blocks.*\"", "pkg.Norm", "blocks.0"));
    CHECK_FALSE(names("class = \"Norm\"\nmodule = \"blocks.*\"", "pkg.Norm", "head"));
}
