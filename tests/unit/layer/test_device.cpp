#include <doctest/doctest.h>

#include <string>
#include <unordered_set>

#include "kernels/core/error.hpp"
#include "kernels/layer/device.hpp"

using namespace kernels;
using layer::CapabilityInterval;
using layer::CUDAProperties;
using layer::Device;
using layer::ROCMProperties;

TEST_CASE("Properties hold an interval that can be") {
    const CUDAProperties properties(75, 90);
    CHECK(properties.min_capability() == 75);
    CHECK(properties.max_capability() == 90);
    CHECK(CUDAProperties(80, 80).interval().contains(80));
    CHECK_THROWS_WITH_AS(CUDAProperties(90, 75),
                         "CUDAProperties: min_capability 90 is greater than max_capability 75", Error);
    CHECK_THROWS_WITH_AS(ROCMProperties(-1, 75), "ROCMProperties: min_capability -1 is negative", Error);
    CHECK_THROWS_AS(CUDAProperties(-3, -1), Error);
    CHECK(properties.interval().contains(75));
    CHECK(properties.interval().contains(90));
    CHECK_FALSE(properties.interval().contains(91));
    CHECK_FALSE(properties.interval().contains(74));
}

TEST_CASE("Only known devices exist, with the properties that fit them") {
    for (const auto& type : layer::device_types())
        CHECK(Device(type).type() == type);
    CHECK(Device("cuda", CUDAProperties(75, 90)).cuda_properties()->max_capability() == 90);
    CHECK(Device("rocm", ROCMProperties(90, 94)).rocm_properties()->min_capability() == 90);
    CHECK(Device("rocm", ROCMProperties(90, 94)).cuda_properties() == nullptr);
    CHECK_THROWS_WITH_AS(Device("rocm", CUDAProperties(75, 90)),
                         "CUDAProperties: they are no properties of `rocm`", Error);
    CHECK_THROWS_WITH_AS(Device("cuda", ROCMProperties(75, 90)),
                         "ROCMProperties: they are no properties of `cuda`", Error);
    CHECK_THROWS_AS(Device("cpu", CUDAProperties(75, 90)), Error);
    CHECK_THROWS_AS(layer::device_with("mps", {1, 2}), Error);
    try {
        const Device device("cuda:0");
    } catch (const Error& error) {
        CHECK(error.hint() == "kernels are chosen for a type of device: cuda");
    }
    for (const char* bad : {"", "gpu", "CUDA", "cuda:0"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(Device{bad}, Error);
    }
    try {
        const Device device("cudaa");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::usage);
        CHECK(error.hint() == "did you mean `cuda`? devices: cpu, cuda, mps, neuron, npu, rocm, tpu, xpu");
    }
}

TEST_CASE("A device's text is read back") {
    for (const char* text : {"cpu", "cuda", "cuda[75..90]", "rocm[90..]", "cuda[..89]", "cuda[..]", "tpu"}) {
        CAPTURE(text);
        CHECK(Device::parse(text).to_string() == text);
        CHECK(Device::parse(Device::parse(text).to_string()) == Device::parse(text));
    }
    for (const char* bad :
         {"cuda[", "cuda[75]", "cuda[90..75]", "cuda[a..b]", "cpu[1..2]", "cpu[..]", "cuda[75..90",
          "cuda[-1..5]", "cuda[75..90]x", "gpu[1..2]", "cuda[75..99999999999]"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(Device::parse(bad), Error);
    }
}

TEST_CASE("Devices are equal when type and properties are, and hash alike then") {
    CHECK(Device("cuda", CUDAProperties(75, 90)) == Device::parse("cuda[75..90]"));
    CHECK(Device("cuda", CUDAProperties(75, 90)) != Device("cuda", CUDAProperties(75, 89)));
    CHECK(Device("cuda", CUDAProperties(75, 90)) != Device("cuda"));
    CHECK(Device("cuda") < Device("cuda", CUDAProperties(75, 90)));
    // The same place of a mapping, but not the same value: as in the Python client.
    const Device everything("cuda", CUDAProperties(0, CapabilityInterval::unlimited));
    CHECK(everything != Device("cuda"));
    CHECK(everything.interval() == Device("cuda").interval());
    const std::unordered_set<Device> devices{"cuda", Device::parse("cuda[75..90]"),          everything,
                                             "cuda", Device("cuda", CUDAProperties(75, 90)), "cpu"};
    CHECK(devices.size() == 4);
    CHECK(std::hash<CUDAProperties>()({75, 90}) == std::hash<CUDAProperties>()({75, 90}));
    CHECK(std::hash<ROCMProperties>()({75, 90}) != std::hash<ROCMProperties>()({75, 91}));
}

TEST_CASE("What others call a device is told by its name here") {
    const auto hint_for = [](const char* type) {
        try {
            Device{type};
        } catch (const Error& error) {
            return error.hint();
        }
        return std::string("accepted");
    };
    const std::string all = "? devices: cpu, cuda, mps, neuron, npu, rocm, tpu, xpu";
    CHECK(hint_for("gpu") == "did you mean `cuda` or `rocm`" + all);
    CHECK(hint_for("metal") == "did you mean `mps`" + all);
    CHECK(hint_for("somewhere") == all.substr(2));
}
