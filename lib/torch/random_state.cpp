#include "random_state.hpp"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>

#include <algorithm>
#include <mutex>

namespace kernels::torchscript {
namespace {

at::Tensor state_of(const at::Device& device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    return generator.get_state();
}

}  // namespace

RandomState::RandomState() {
    m_states.push_back(state_of(at::kCPU));
    const auto type = at::getAccelerator();
    if (!type) return;
    const auto devices = at::globalContext().getAcceleratorHooksInterface(*type).deviceCount();
    for (c10::DeviceIndex i = 0; i < devices; ++i)
        m_states.push_back(state_of(at::Device(*type, i)));
}

bool RandomState::operator==(const RandomState& other) const {
    return std::equal(m_states.begin(), m_states.end(), other.m_states.begin(), other.m_states.end(),
                      [](const at::Tensor& a, const at::Tensor& b) { return a.equal(b); });
}

}  // namespace kernels::torchscript
