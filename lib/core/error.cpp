#include "kernels/core/error.hpp"

#include <utility>

namespace kernels {

Error::Error(ErrorCode code, const std::string& message, std::string hint, std::vector<std::string> details)
    : std::runtime_error(message), m_code(code), m_hint(std::move(hint)), m_details(std::move(details)) {}

Error Error::with_builds(std::vector<Build> builds, std::vector<Suggestion> suggestions) const {
    Error out = *this;
    out.m_builds = std::move(builds);
    out.m_suggestions = std::move(suggestions);
    return out;
}

Error Error::with_remedies(const std::vector<Remedy>& remedies) const {
    Error out = *this;
    out.m_remedies.insert(out.m_remedies.end(), remedies.begin(), remedies.end());
    return out;
}

Error Error::with_causes(std::vector<Error> causes) const {
    Error out = *this;
    out.m_causes = std::move(causes);
    return out;
}

Error Error::reworded(const std::string& message, std::string hint) const {
    Error out(m_code, message, std::move(hint), m_details);
    out.m_remedies = m_remedies;
    out.m_builds = m_builds;
    out.m_suggestions = m_suggestions;
    out.m_causes = m_causes;
    return out;
}

int exit_status(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::failed:
            return 1;
        case ErrorCode::usage:
        case ErrorCode::project_file:
            return 2;
        case ErrorCode::lock_missing:
        case ErrorCode::lock_stale:
            return 3;
        case ErrorCode::not_found:
            return 4;
        case ErrorCode::network:
            return 5;
        case ErrorCode::verification:
            return 6;
        case ErrorCode::no_build:
            return 7;
        case ErrorCode::kernelize:
            return 8;
        case ErrorCode::interrupted:
            return 130;
    }
    return 1;
}

std::string_view to_string(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::failed:
            return "failed";
        case ErrorCode::usage:
            return "usage";
        case ErrorCode::project_file:
            return "project-file";
        case ErrorCode::lock_missing:
            return "lock-missing";
        case ErrorCode::lock_stale:
            return "lock-stale";
        case ErrorCode::not_found:
            return "not-found";
        case ErrorCode::network:
            return "network";
        case ErrorCode::verification:
            return "verification";
        case ErrorCode::no_build:
            return "no-build";
        case ErrorCode::kernelize:
            return "kernelize";
        case ErrorCode::interrupted:
            return "interrupted";
    }
    return "failed";
}

}  // namespace kernels
