#include <doctest/doctest.h>

#include <utility>

#include "checking.hpp"
#include "kernels/build/target.hpp"
#include "kernels/core/error.hpp"

using namespace kernels;
using namespace kernels::build;
using kernels::testing::has;

namespace {

// The message and hint with which `text` is refused.
std::string refusal(const std::string& text, const Target& base = {}) {
    try {
        Target::parse(text, base);
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::usage);
        return std::string(error.what()) + " | " + error.hint();
    }
    return "accepted";
}

}  // namespace

TEST_CASE("a target is read key by key") {
    const auto target = Target::parse("torch=2.13, cuda=12.8, cpu=x86_64, os=linux, capability=9.0");
    CHECK(target.torch == Version{2, 13});
    CHECK(target.backend == Backend{BackendKind::cuda, {12, 8}});
    CHECK(target.capability == 90);
    CHECK(target.cxx11_abi == true);
    CHECK(Target::parse("rocm=6.4,arch=gfx90a:xnack-").gpu_arch == "gfx90a:xnack-");
    CHECK(Target::parse("xpu=2025.2").backend == Backend{BackendKind::xpu, {2025, 2}});
    CHECK(Target::parse("torch=2.13.0+cpu,cpu").torch == Version{2, 13});
    CHECK(Target::parse("torch=2.13.0+cu128,cuda=12.8").torch == Version{2, 13});
    CHECK(Target::parse("torch=2.13.0+cpu,cann=8.3").torch == Version{2, 13});
    CHECK(Target::parse("torch=2.13.0+git1234,cuda=12.8").torch == Version{2, 13});
    CHECK(Target::parse("torch=2.5,cpu").cxx11_abi == false);
    CHECK(Target::parse("torch=2.5,cxx11-abi=true").cxx11_abi == true);
}

TEST_CASE("the C++ ABI of torch's wheels, of which 2.6 has both") {
    const auto is_new = [](const char* text) { return Target::parse(text).cxx11_abi.value(); };
    for (const char* text :
         {"torch=2.6,cpu", "torch=2.6,cuda=11.8", "torch=2.6.0,cuda=12.4", "torch=2.6.0+cu124,cuda=12.4",
          "torch=2.5,cuda=12.6", "torch=2.5,rocm=6.2", "torch=2.5,cpu,cpu=aarch64"}) {
        CAPTURE(text);
        CHECK_FALSE(is_new(text));
    }
    for (const char* text :
         {"torch=2.6,cuda=12.6", "torch=2.6,rocm=6.2", "torch=2.6,xpu=2025.0", "torch=2.6,cpu,cpu=aarch64",
          "torch=2.7,cpu", "torch=2.7,cuda=11.8", "torch=2.13,cpu", "torch=2.6,cpu,cxx11-abi=true"}) {
        CAPTURE(text);
        CHECK(is_new(text));
    }
}

TEST_CASE("a torch made for another backend is refused, not taken for the target's") {
    CHECK(refusal("torch=2.13.0+cu128") ==
          "target `torch=2.13.0+cu128`: torch 2.13.0+cu128 is made for cuda 12.8, the target is cpu | add "
          "cuda=12.8");
    CHECK(has(refusal("torch=2.13.0+cu128,cuda=12.9"),
              "made for cuda 12.8, the target is cuda 12.9 | "
              "give torch=2.13 or cuda=12.8"));
    CHECK(has(refusal("torch=2.13.0+cpu,cuda=12.8"), "made for cpu, the target is cuda 12.8"));
    CHECK(has(refusal("torch=2.13.0+rocm6.4,rocm=6.3"), "made for rocm 6.4"));
    CHECK(has(refusal("torch=2.13,cuda=12.8+cpu"), "not `12.8+cpu`"));
}

TEST_CASE("metal and macos mean a Mac with an Apple CPU, unless said otherwise") {
    const auto mac = Target::parse("torch=2.9,metal,macos=26");
    CHECK(mac.os == "darwin");
    CHECK(mac.cpu == "aarch64");
    CHECK(mac.macos == Version{26, 0});
    CHECK_FALSE(mac.cxx11_abi.has_value());
    CHECK(Target::parse("metal,cpu=x86_64").cpu == "x86_64");
    CHECK(has(refusal("metal,os=linux"), "metal does not exist on linux"));
}

TEST_CASE("what is not given comes from the base, but never its backend or device") {
    Target base;
    base.torch = Version{2, 12};
    base.cxx11_abi = true;
    base.backend = {BackendKind::cuda, {13, 0}};
    base.capability = 90;
    base.cpu = "aarch64";
    const auto target = Target::parse("rocm=6.4", base);
    CHECK(target.torch == Version{2, 12});
    CHECK(target.cpu == "aarch64");
    CHECK_FALSE(target.capability.has_value());
    CHECK(Target::parse("os=windows", base).backend == Backend{});
    CHECK_FALSE(Target::parse("os=windows", base).cxx11_abi.has_value());
}

TEST_CASE("a target comes back from its own text") {
    for (const char* text : {"torch=2.13,cuda=12.8,capability=90,cpu=x86_64,os=linux,cxx11-abi=true", "cpu",
                             "tvm-ffi=0.1,cpu", "torch=2.9,rocm=6.4,arch=gfx942",
                             "torch=2.9,metal,macos=26.1", "cann=8.3,cpu=aarch64", "neuron,torch=2.8"}) {
        CAPTURE(text);
        const auto target = Target::parse(text);
        CHECK(Target::parse(target.to_string()) == target);
    }
    CHECK(Target::parse("torch=2.13,cuda=12.8,capability=90").to_string() ==
          "torch=2.13,cuda=12.8,capability=90,cpu=x86_64,os=linux,cxx11-abi=true");
}

TEST_CASE("a misspelled key is refused with the list of keys") {
    const auto text = refusal("troch=2.13");
    CHECK(has(text, "there is no key `troch`"));
    CHECK(has(text, "did you mean `torch`?"));
    CHECK(has(text, "capability"));
    CHECK(has(refusal("gpu=4"), "there is no key `gpu`"));
}

TEST_CASE("impossible pairs are refused with the list of what exists") {
    const auto text = refusal("cuda=12.8,os=darwin");
    CHECK(has(text, "cuda does not exist on darwin"));
    CHECK(has(text, "metal on darwin"));
    CHECK(has(refusal("cann=8.3,os=windows"), "cann does not exist on windows"));
    CHECK(has(refusal("cpu,capability=90"), "capability goes with cuda only"));
    CHECK(has(refusal("cuda=12.8,arch=gfx942"), "arch goes with rocm only"));
    CHECK(has(refusal("cpu,os=linux,macos=26"), "macos goes with os=darwin only"));
    CHECK(has(refusal("os=windows,cxx11-abi=true"), "cxx11-abi goes with os=linux only"));
}

TEST_CASE("bad values are refused and named") {
    CHECK(has(refusal(""), "it is empty"));
    CHECK(has(refusal("cuda"), "cuda needs a version"));
    CHECK(has(refusal("cuda="), "cuda needs a version"));
    CHECK(has(refusal("torch=new"), "`new`"));
    CHECK(has(refusal("torch=2..1"), "`2..1`"));
    CHECK(has(refusal("torch=2.1.x"), "`2.1.x`"));
    CHECK(has(refusal("cuda=99999999999.1"), "cuda"));
    CHECK(has(refusal("cuda=12.8,rocm=6.4"), "more than one backend"));
    CHECK(has(refusal("torch=2.1,torch=2.2"), "given twice"));
    CHECK(has(refusal("cpu=sparc"), "x86_64, aarch64"));
    CHECK(has(refusal("os=beos"), "linux, darwin, windows"));
    CHECK(has(refusal("cuda=12.8,capability=hopper"), "capability"));
    for (const char* value : {"1.0.0", "10.", "9.00", "9.0.", "1000"}) {
        CAPTURE(value);
        CHECK(has(refusal(std::string("cuda=12.8,capability=") + value), std::string("not `") + value + "`"));
    }
    CHECK(has(refusal("cuda=12.8,capability=10"), "there is no capability `10`"));
    // Of generations that are complete what there is is known; of others nobody knows what will be.
    CHECK(has(refusal("cuda=12.8,capability=99"), "no capability `99` | of its generation there is 90"));
    CHECK(has(refusal("cuda=12.8,capability=71"), "there is 70, 72, 75"));
    CHECK(has(refusal("cuda=12.8,capability=4.5"), "no generation 4"));
    CHECK(Target::parse("cuda=12.8,capability=88").capability == 88);
    CHECK(Target::parse("cuda=12.8,capability=109").capability == 109);
    // The driver compiles a kernel's PTX for a device that is newer than the toolkit.
    CHECK(Target::parse("cuda=11.0,capability=120").capability == 120);
    CHECK(has(refusal("cuda=12.8,capability=12"), "there is no capability `12`"));
    CHECK(has(refusal("cuda=12"), "cuda=12.8, say"));
    CHECK(has(refusal("torch=2,cpu"), "torch=2.13, say"));
    CHECK(has(refusal("rocm=6.4,arch=gfxZZZ"), "`gfxZZZ`"));
    CHECK(has(refusal("metal=3"), "metal takes no value"));
    CHECK(has(refusal("torch=2.1,,cpu"), "there is nothing between two commas"));
    CHECK(has(refusal("torch=2.1,"), "keys: torch, cuda"));
    CHECK(has(refusal("=2.1"), "a key is missing before ="));
    CHECK(has(refusal("cuda=12.8,capability=900"), "there is no capability `900`"));
    for (const char* example : {"rocm=6.4", "xpu=2025.2", "cann=8.3"}) {
        const std::string key(example, std::string_view(example).find('='));
        CAPTURE(key);
        CHECK(has(refusal(key), example));
        CHECK(has(refusal(key + "=6"), key + " needs a minor version: " + example));
        CHECK(has(refusal(key + "=new"), std::string(example).substr(key.size() + 1)));
    }
    CHECK(Target::parse("metal,macos=26").macos == Version{26, 0});
    CHECK(has(refusal("cpu,cuda=12.8"), "one of cuda=12.8, rocm=6.4"));
    CHECK(has(refusal("rocm=6.4,capability=90"), "arch=gfx942"));
    CHECK(has(refusal("cuda=12.8,arch=gfx942"), "capability=90"));
}

TEST_CASE("metal means the same cpu with and without os=darwin") {
    const auto base = Target::parse("torch=2.13,cpu=x86_64,os=linux");
    CHECK(Target::parse("metal", base).cpu == "aarch64");
    CHECK(Target::parse("metal,os=darwin", base).cpu == "aarch64");
    CHECK(Target::parse("metal,os=darwin,cpu=x86_64", base).cpu == "x86_64");
}

TEST_CASE("a capability with a dot is the number without it") {
    CHECK(Target::parse("cuda=12.8,capability=10.0").capability == 100);
    CHECK(Target::parse("cuda=12.8,capability=8.6").capability == 86);
}

TEST_CASE("a version that cannot be has lost its dot, or is a slip") {
    const auto refused = [](const std::string& text) {
        const auto whole = refusal(text);
        const auto at = whole.find("`: ");
        return at == std::string::npos ? whole : whole.substr(at + 3);
    };
    CHECK(refused("cuda=128.0") == "there is no cuda `128.0` | did you mean cuda=12.8?");
    CHECK(refused("cuda=128") == "cuda needs a minor version: cuda=12.8, say | did you mean cuda=12.8?");
    CHECK(refused("cuda=1.28") == "there is no cuda `1.28` | did you mean cuda=12.8?");
    CHECK(refused("rocm=64.0") == "there is no rocm `64.0` | did you mean rocm=6.4?");
    CHECK(refused("torch=213.0,cpu") == "there is no torch `213.0` | did you mean torch=2.13?");
    CHECK(refused("torch=29,cpu") ==
          "torch needs a minor version: torch=2.13, say | did you mean torch=2.9?");
    CHECK(refused("cann=83") == "cann needs a minor version: cann=8.3, say | did you mean cann=8.3?");
    CHECK(refused("xpu=20252.0") == "there is no xpu `20252.0` | did you mean xpu=2025.2?");
    CHECK(refused("metal,macos=260") == "there is no macos `260` | did you mean macos=26.0?");
    CHECK(refused("torch=0.13,cpu") == "there is no torch `0.13` | for example torch=2.13");
    CHECK(refused("cuda=12.88") == "there is no cuda `12.88` | for example cuda=12.8");
    CHECK(refused("cuda=2147483647.2147483647").ends_with("for example cuda=12.8"));
    for (const char* text : {"cuda=11.8", "cuda=13.0", "rocm=7.10", "xpu=2025.3", "cann=8.5",
                             "torch=2.14,cpu", "torch=1.13,cpu", "metal,macos=15.6", "tvm-ffi=0.1,cpu"}) {
        CAPTURE(text);
        CHECK(refused(text) == "accepted");
    }
}

TEST_CASE("what is behind the + of a torch is a backend or a commit") {
    for (const char* text :
         {"torch=2.13+xyz,cuda=12.8", "torch=2.13+,cuda=12.8", "torch=2.13.0+cu12,cuda=12.8",
          "torch=2.13+rocm6,rocm=6.4", "torch=2.13+cpu+x,cpu"}) {
        CAPTURE(text);
        CHECK(has(refusal(text), "what is behind the + names no backend | leave it out: torch=2.13"));
    }
    CHECK(
        has(refusal("torch=2.13+xpu,cuda=12.8"), "made for xpu, the target is cuda 12.8 | give torch=2.13"));
    CHECK(Target::parse("torch=2.13+xpu,xpu=2025.2").torch == Version{2, 13});
    CHECK(Target::parse("torch=2.13.0a0+git1234abc,cuda=12.8").torch == Version{2, 13});
    CHECK(Target::parse("torch=2.9.0a0+145a3a7bda.nv25.10,cuda=13.0").torch == Version{2, 9});
    CHECK(Target::parse("torch=2.13.0.dev20260901+cu130,cuda=13.0").torch == Version{2, 13});
}

TEST_CASE("the feature flags of an arch are flags") {
    for (const char* arch : {"gfx942:foo", "gfx942:", "gfx942:xnack", "gfx942:xnack+:", "gfx9420000"}) {
        CAPTURE(arch);
        CHECK(has(refusal(std::string("rocm=6.4,arch=") + arch), "not `" + std::string(arch) + "`"));
    }
    CHECK(Target::parse("rocm=6.4,arch=gfx90a:sramecc+:xnack-").gpu_arch == "gfx90a:sramecc+:xnack-");
}

TEST_CASE("the names that others have for the keys") {
    for (const auto& [word, meant] :
         {std::pair{"npu=8.3", "`cann`?"}, std::pair{"mps", "`metal`?"}, std::pair{"hip=6.4", "`rocm`?"},
          std::pair{"gpu", "`cuda` or `rocm`?"}, std::pair{"GPU=4", "`cuda` or `rocm`?"},
          std::pair{"sm=90", "`capability`?"}}) {
        CAPTURE(word);
        CHECK(has(refusal(word), std::string("did you mean ") + meant + " keys: torch, cuda"));
    }
}

TEST_CASE("a torch that is made for something else than the target") {
    CHECK(torch_misfit("2.13+cu128", Target::parse("rocm=6.4")) ==
          "torch 2.13+cu128 is made for cuda 12.8, the target is rocm 6.4");
    CHECK(torch_misfit("2.13", Target::parse("rocm=6.4")).empty());
    CHECK(torch_misfit("2.13+cpu", Target::parse("metal")).empty());
    CHECK(torch_misfit("2.13+cu128", Target::parse("neuron")).empty());
}
