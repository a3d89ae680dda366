// Device: the type of device that a mapping entry is for.
#include <unordered_map>

#include "expect.hpp"
#include "kernels/layer/device.hpp"

using kernels::layer::CUDAProperties;
using kernels::layer::Device;

int main() {
    const Device cuda("cuda");
    const Device recent("cuda", CUDAProperties(80, 90));
    const Device mps("mps");
    std::cout << cuda.to_string() << ", " << recent.to_string() << ", " << mps.to_string() << '\n';
    expect(cuda != recent, "a device without properties is another one");
    expect(Device::parse("cuda[80..90]") == recent, "a device has a text form");
    const std::unordered_map<Device, int> count{{cuda, 1}, {recent, 2}};
    expect(count.at(Device("cuda", CUDAProperties(80, 90))) == 2, "devices are values, and can be keys");
    expect_error([] { Device("gpu"); }, "only devices that kernels are built for exist");
}
