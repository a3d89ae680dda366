#include <doctest/doctest.h>

#include "kernels/build/build_variant.hpp"
#include "kernels/core/error.hpp"

using namespace kernels;
using namespace kernels::build;

TEST_CASE("every form of a build's name parses into its parts and back") {
    const auto torch = BuildVariant::parse("torch213-cxx11-cu128-x86_64-linux");
    CHECK(torch.framework() == FrameworkKind::torch);
    CHECK(torch.framework_version() == Version{2, 13});
    CHECK(torch.cxx11_abi() == true);
    CHECK(torch.backend() == Backend{BackendKind::cuda, {12, 8}});
    CHECK(torch.cpu() == "x86_64");
    CHECK(torch.os() == "linux");
    CHECK_FALSE(torch.is_noarch());

    CHECK(BuildVariant::parse("torch25-cxx98-cpu-x86_64-linux").cxx11_abi() == false);
    CHECK_FALSE(BuildVariant::parse("torch29-metal-aarch64-darwin").cxx11_abi().has_value());

    const auto stable = BuildVariant::parse("torch-stable-abi210-xpu20252-x86_64-windows");
    CHECK(stable.framework() == FrameworkKind::torch_stable_abi);
    CHECK(stable.framework_version() == Version{2, 10});
    CHECK(stable.backend() == Backend{BackendKind::xpu, {2025, 2}});

    const auto ffi = BuildVariant::parse("tvm-ffi01-rocm64-x86_64-linux");
    CHECK(ffi.framework() == FrameworkKind::tvm_ffi);
    CHECK(ffi.framework_version() == Version{0, 1});
    CHECK(ffi.backend_name() == "rocm");

    const auto noarch = BuildVariant::parse("torch-npu");
    CHECK(noarch.is_noarch());
    CHECK(noarch.backend_name() == "npu");

    for (const char* name :
         {"torch213-cxx11-cu128-x86_64-linux", "torch-stable-abi29-cann83-aarch64-linux", "torch-universal",
          "tvm-ffi01-cpu-x86_64-linux", "torch28-neuron-x86_64-linux", "torch28-tpu-x86_64-linux"}) {
        CHECK(BuildVariant::parse(name).to_string() == name);
    }
}

TEST_CASE("what is no build's name is refused") {
    for (const char* name :
         {"", "x", "torch2-cpu-x86_64-linux", "torch29-x86_64-linux", "torch29-cu1-x86_64-linux",
          "torch29-cpu-x86_64-linux-more", "torch-stable-abi2-cpu-x86_64-linux", "tvm-ffi1-cpu-x86_64-linux",
          "torch29-metal1-aarch64-darwin", "jax04-cu128-x86_64-linux", "torch-../../etc",
          "torch29-cu-x86_64-linux", "torch99999999999999999999-cpu-x86_64-linux"}) {
        CAPTURE(name);
        CHECK_FALSE(BuildVariant::try_parse(name).has_value());
    }
    try {
        BuildVariant::parse("torch29");
        FAIL("accepted");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::usage);
        CHECK(std::string(error.what()) == "`torch29`: not a build variant");
        CHECK_FALSE(error.hint().empty());
    }
}

TEST_CASE("the last digit of a backend is its minor version") {
    CHECK(Backend::parse("cu130")->version == Version{13, 0});
    CHECK(Backend::parse("rocm64")->version == Version{6, 4});
    CHECK(Backend::parse("cann83")->version == Version{8, 3});
    CHECK(Backend::parse("cu130")->to_string() == "cu130");
    CHECK_FALSE(Backend::parse("cu").has_value());
    CHECK_FALSE(Backend::parse("cpu1").has_value());
    CHECK_FALSE(Backend::parse("cu-1").has_value());
}
