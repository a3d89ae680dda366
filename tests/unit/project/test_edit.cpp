#include <doctest/doctest.h>

#include <string>

#include "kernels/core/error.hpp"
#include "kernels/project/edit.hpp"
#include "kernels/project/project.hpp"

namespace {

using namespace kernels;
using project::with_dependency;
using project::without_dependency;

const Dependency new_one{RepoId::parse("new/one"), KernelVersion{3}};
const Dependency a_branch{RepoId::parse("a/b"), Revision{"main"}};
const RepoId a = RepoId::parse("a/b");
const RepoId c = RepoId::parse("c/d");

std::string added(const std::string& text, const char* file = "kernels.toml") {
    return with_dependency(text, file, new_one);
}

}  // namespace

TEST_CASE("a dependency is added behind the last one, written like it") {
    CHECK(added("[dependencies]\n\"a/b\" = 1  # one\n\n# the mapping\n[[layers]]\n") ==
          "[dependencies]\n\"a/b\" = 1  # one\n\"new/one\" = 3\n\n# the mapping\n[[layers]]\n");
    CHECK(added("[dependencies]  # none yet\n\n[x]\n") ==
          "[dependencies]  # none yet\n\"new/one\" = 3\n\n[x]\n");
    CHECK(added("[ dependencies ]") == "[ dependencies ]\n\"new/one\" = 3\n");
    CHECK(added("[dependencies]\n  'c/d' = 1\n  \"a/b\" = 2") ==
          "[dependencies]\n  'c/d' = 1\n  \"a/b\" = 2\n  \"new/one\" = 3\n");
    // é is one column and two bytes.
    CHECK(added("# é\n[dependencies]\n\"a/b\" = { revision = \"é\" } # ü\n") ==
          "# é\n[dependencies]\n\"a/b\" = { revision = \"é\" } # ü\n\"new/one\" = 3\n");
    CHECK(added("[dependencies]\r\n\"a/b\" = 1\r\n[x]\r\n") ==
          "[dependencies]\r\n\"a/b\" = 1\r\n\"new/one\" = 3\r\n[x]\r\n");
}

TEST_CASE("every way to write the table") {
    CHECK(added("dependencies = { \"a/b\" = 1 } # c\n") ==
          "dependencies = { \"a/b\" = 1, \"new/one\" = 3 } # c\n");
    CHECK(added("dependencies = {}\n") == "dependencies = { \"new/one\" = 3 }\n");
    CHECK(added("dependencies.\"a/b\" = 1\n[x]\n") ==
          "dependencies.\"a/b\" = 1\ndependencies.\"new/one\" = 3\n[x]\n");
    CHECK(added("[dependencies]\n\"a/b\".version = 1\n") ==
          "[dependencies]\n\"a/b\".version = 1\n\"new/one\" = 3\n");
    CHECK(
        added("[tool.kernels]\ndependencies.\"a/b\" = 1\ntrust-remote-code = true\n", "pyproject.toml") ==
        "[tool.kernels]\ndependencies.\"a/b\" = 1\ndependencies.\"new/one\" = 3\ntrust-remote-code = true\n");
    CHECK(added("[dependencies.\"a/b\"]\nversion = 1\n") ==
          "[dependencies.\"a/b\"]\nversion = 1\n\n[dependencies]\n\"new/one\" = 3\n");
}

TEST_CASE("a file without the table gets it at its end") {
    CHECK(added("") == "[dependencies]\n\"new/one\" = 3\n");
    CHECK(added("[project]\nname = \"x\"", "pyproject.toml") ==
          "[project]\nname = \"x\"\n\n[tool.kernels.dependencies]\n\"new/one\" = 3\n");
    CHECK(added("[tool.kernels]\ntrust-remote-code = true\n", "pyproject.toml") ==
          "[tool.kernels]\ntrust-remote-code = true\n\n[tool.kernels.dependencies]\n\"new/one\" = 3\n");
}

TEST_CASE("a dependency that is there gets another value and keeps its place and comment") {
    CHECK(with_dependency("[dependencies]\n\"a/b\" = 1 # one\n\"c/d\" = 2\n", "kernels.toml", a_branch) ==
          "[dependencies]\n\"a/b\" = { revision = \"main\" } # one\n\"c/d\" = 2\n");
    CHECK(with_dependency("dependencies = {'a/b'={version=1},\"c/d\"=2}", "kernels.toml",
                          {a, KernelVersion{7}}) == "dependencies = {'a/b'=7,\"c/d\"=2}");
    CHECK(with_dependency("[dependencies]\n\"a/b\" = { revision = \"v1\" } # pin\n", "kernels.toml",
                          {a, KernelVersion{2}}) == "[dependencies]\n\"a/b\" = 2 # pin\n");
    const std::string section = "[dependencies.\"a/b\"]\n# why\nversion = 1 # one\n\n# next\n[x]\ny = 1\n";
    CHECK(with_dependency(section, "kernels.toml", {a, KernelVersion{2}}) ==
          "[dependencies.\"a/b\"]\n# why\nversion = 2 # one\n\n# next\n[x]\ny = 1\n");
    CHECK(with_dependency(section, "kernels.toml", a_branch) ==
          "[dependencies.\"a/b\"]\n# why\nrevision = \"main\" # one\n\n# next\n[x]\ny = 1\n");
    CHECK(with_dependency("[dependencies]\n\"a/b\".version = 1\n\"c/d\" = 2\n", "kernels.toml",
                          {a, KernelVersion{2}}) == "[dependencies]\n\"a/b\".version = 2\n\"c/d\" = 2\n");
    // The Python client reads no table with a version, and did read this one.
    CHECK(with_dependency("[dependencies.\"a/b\"]\nrevision = \"v1\"\n", "kernels.toml",
                          {a, KernelVersion{2}}) == "[dependencies]\n\"a/b\" = 2\n");
}

TEST_CASE("a dependency is removed, and nothing else") {
    CHECK(without_dependency("# top\n[dependencies]\n# both\n\"a/b\" = 1 # one\n\"c/d\" = 2\n",
                             "kernels.toml", a) == "# top\n[dependencies]\n# both\n\"c/d\" = 2\n");
    CHECK(without_dependency("[dependencies]\n\"a/b\" = 1", "kernels.toml", a) == "[dependencies]\n");
    const std::string line = "dependencies = { \"a/b\" = 1, \"c/d\" = {version = 2} } # x\n";
    CHECK(without_dependency(line, "kernels.toml", a) == "dependencies = { \"c/d\" = {version = 2} } # x\n");
    CHECK(without_dependency(line, "kernels.toml", c) == "dependencies = { \"a/b\" = 1 } # x\n");
    CHECK(without_dependency(
              "[dependencies]\n\"c/d\" = 1\n\n[dependencies.\"a/b\"]\nversion = 1\n\n# next\n[x]\ny = 1\n",
              "kernels.toml", a) == "[dependencies]\n\"c/d\" = 1\n\n# next\n[x]\ny = 1\n");
    CHECK(without_dependency("[tool]\nkernels.dependencies.\"a/b\" = 1 # c\n", "pyproject.toml", a) ==
          "[tool]\n\n[tool.kernels.dependencies]\n");
    CHECK(without_dependency("dependencies.\"a/b\".revision = \"main\"\n", "kernels.toml", a) ==
          "[dependencies]\n");
}

TEST_CASE("what cannot be changed is refused with what to write") {
    const std::string text = "[tool]\nkernels = { trust-remote-code = true }\n";
    try {
        with_dependency(text, "pyproject.toml", new_one);
        FAIL("an inline table cannot be extended");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::project_file);
        CHECK(error.hint().find("\"new/one\" = 3") != std::string::npos);
    }
    CHECK_THROWS_AS(with_dependency("a = [", "kernels.toml", new_one), Error);
    try {
        without_dependency("[dependencies]\n\"a/bb\" = 1\n", "kernels.toml", a);
        FAIL("there is no such dependency");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::not_found);
        CHECK(error.hint().find("a/bb") != std::string::npos);
    }
}

TEST_CASE("a revision's quotes stay what they are") {
    const Dependency odd{a, Revision{"a\"b"}};
    const auto text = with_dependency("[dependencies]\n", "kernels.toml", odd);
    CHECK(text == "[dependencies]\n\"a/b\" = { revision = \"a\\\"b\" }\n");
}
