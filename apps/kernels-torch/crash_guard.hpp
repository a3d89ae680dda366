// What is said when foreign code crashes in this process: a kernel, or libtorch on a hostile archive.
#pragma once

#include <filesystem>
#include <string>

#include "kernels/core/error.hpp"
#include "kernels/torch/model.hpp"

namespace kernels::app {

/// While one lives, a fatal signal ends the process with one error line (a document with --json) and the
/// documented exit status, instead of a bare "Segmentation fault". Nothing is cleaned up, so it must live
/// only where no file is half-written. Not nested.
class CrashGuard {
  public:
    /// `what` is what happened ("a kernel crashed"), and `hint` what it means.
    CrashGuard(ErrorCode code, std::string what, std::string hint, bool json);
    ~CrashGuard();
    CrashGuard(const CrashGuard&) = delete;
    CrashGuard& operator=(const CrashGuard&) = delete;

    /// What runs from now on; the message begins with it.
    void about_to(const std::string& step);

  private:
    ErrorCode m_code;
    std::string m_what;
    std::string m_hint;
    bool m_json;
};

/// torchscript::load_model, with one error line when libtorch crashes on what it reads. The model can be
/// cancelled by Ctrl-C.
torchscript::Model load_model_guarded(const std::filesystem::path& path, bool json);

}  // namespace kernels::app
