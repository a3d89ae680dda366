#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "kernels/core/error.hpp"
#include "kernels/core/places.hpp"

using namespace kernels;

namespace {

// The folder for demo/one; "error: hint" of what is refused, "none" without one.
std::string folder_by(const char* variable) {
    ::setenv("LOCAL_KERNELS", variable, 1);
    std::string found = "none";
    try {
        if (const auto folder = local_kernel_folder(RepoId::parse("demo/one"))) found = folder->string();
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::usage);
        found = error.what();
    }
    ::unsetenv("LOCAL_KERNELS");
    return found;
}

}  // namespace

TEST_CASE("LOCAL_KERNELS names folders for repositories") {
    CHECK(folder_by("") == "none");
    CHECK(folder_by("demo/two=/b") == "none");
    CHECK(folder_by("demo/two=/b:demo/one=/a=b") == "/a=b");
    CHECK(folder_by("demo/one=/a:") == "/a");
    // As in the dictionary that Python makes of it, the last one counts.
    CHECK(folder_by("demo/one=/a:demo/two=/b:demo/one=/c") == "/c");
}

TEST_CASE("An entry of LOCAL_KERNELS of another form is named") {
    const std::string start = "LOCAL_KERNELS: the entry ";
    CHECK(folder_by("demo/one=/a:/b") == start + "`/b`: it has no =");
    CHECK(folder_by("demo/one:/a") == start + "`demo/one`: it has no =");
    CHECK(folder_by("demo/two=:demo/one=/a") == start + "`demo/two=`: it names no folder");
    CHECK(folder_by("=/a") == start + "`=/a`: `` is no org/name");
    CHECK(folder_by("../x/y=/a") == start + "`../x/y=/a`: `../x/y` is no org/name");
}
