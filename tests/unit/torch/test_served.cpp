#include "torch_doctest.hpp"

#include "../build/made_library.hpp"
#include "environment_variable.hpp"
#include "kernels/core/files.hpp"
#include "runtime/served.hpp"
#include "temporary_folder.hpp"

using namespace kernels;

TEST_CASE("A library without code for the machine's GPU is found out before it is loaded") {
    const testing::TemporaryFolder folder;
    const std::string library = (folder / "kernel.so").string();
    const auto code_for = [](const std::string& arch) {
        return testing::elf_library(
            {{".text", "x"},
             {".hip_fatbin",
              testing::hip_bundle({"host-x86_64-unknown-linux--", "hip-amdgcn-amd-amdhsa--" + arch})}});
    };
    write_file(library, code_for("gfx90a"));
    const auto target = [](const char* arch) {
        return build::Target::parse(std::string("torch=2.13,rocm=6.4,arch=") + arch);
    };
    CHECK(runtime::why_not_served(library, target("gfx90a")).empty());
    const auto why = runtime::why_not_served(library, target("gfx942"));
    CHECK(why.find("gfx90a") != std::string::npos);
    CHECK(why.find("gfx942") != std::string::npos);
    write_file(folder / "other.so", code_for("gfx942"));
    CHECK(runtime::why_not_served(library, target("gfx942")).empty());
    std::filesystem::remove(folder / "other.so");
    // Nothing is known of the device, or of the library.
    CHECK(runtime::why_not_served(library, build::Target::parse("torch=2.13,rocm=6.4")).empty());
    CHECK(
        runtime::why_not_served(library, build::Target::parse("torch=2.13,cuda=12.8,capability=90")).empty());
    write_file(folder / "text.so", "no library");
    CHECK(runtime::why_not_served(folder / "text.so", target("gfx942")).empty());
    CHECK(runtime::why_not_served(folder / "none.so", target("gfx942")).empty());

    const testing::EnvironmentVariable skip("KERNELS_NO_DEVICE_CHECK", "1");
    CHECK(runtime::why_not_served(library, target("gfx942")).empty());
}
