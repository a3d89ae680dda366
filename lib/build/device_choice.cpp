// What the devices' code means for the choice of a build.
#include <utility>

#include "kernels/build/device_fit.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"

namespace kernels::build {

void tell(std::span<const Remark> remarks, const std::string& what) {
    for (const auto& remark : remarks)
        (remark.is_warning ? log::warning : log::info)(what + ": " + remark.text);
}

void warn_of_caution(const DeviceFit& fit, const std::string& what) {
    if (fit.caution.empty()) return;
    log::warning(what + ": not all of its code is for this device: " + fit.caution);
}

DeviceFitOf if_known(DeviceFitOf fit_of) {
    return [fit_of = std::move(fit_of)](const BuildVariant& variant, const Target& target) {
        try {
            return fit_of(variant, target);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::interrupted) throw;
            log::info(error.what());
            return DeviceFit{Fit::no, "its metadata cannot be read"};
        }
    };
}

bool device_unknown(const DeviceFit& fit, const BuildVariant& variant) {
    return fit.fit == Fit::unknown && !variant.is_noarch();
}

void refuse_for_device(Selection& selection, const Target& target, const DeviceFitOf& fit_of) {
    if (!names_device(target)) return;
    for (auto& decision : selection.decisions) {
        if (!decision.accepted()) continue;
        const auto fit = fit_of(decision.variant, target);
        if (fit.fit == Fit::no) {
            decision.rejection = Rejection{Reason::device, "no device code for this device: " + fit.text};
        }
        decision.device_unknown = device_unknown(fit, decision.variant);
    }
}

}  // namespace kernels::build
