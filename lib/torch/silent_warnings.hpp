// Runs whose warnings nobody needs.
#pragma once

#include <c10/util/Exception.h>

namespace kernels::torchscript {

/// While it lives, libtorch's warnings of this thread are dropped.
class SilentWarnings {
  public:
    SilentWarnings() : m_guard(&m_silent) {}

  private:
    struct Silent final : c10::WarningHandler {
        void process(const c10::Warning&) override {}
    } m_silent;
    c10::WarningUtils::WarningHandlerGuard m_guard;
};

}  // namespace kernels::torchscript
