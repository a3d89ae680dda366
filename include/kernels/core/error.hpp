// The one exception type of the library, and how it becomes an exit status.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace kernels {

/// What went wrong, by kind. Each kind has one documented exit status (see exit_status).
enum class ErrorCode {
    failed,        ///< anything without a kind of its own (input/output, a broken file, ...)
    usage,         ///< the command line is wrong
    project_file,  ///< pyproject.toml or kernels.toml is wrong or missing
    lock_missing,  ///< there is no kernels.lock
    lock_stale,    ///< kernels.lock does not match the project file
    not_found,     ///< a repository, version, revision, layer or file does not exist
    network,       ///< the hub cannot be reached, or answered with an error
    verification,  ///< hash, digest, signature or publisher trust
    no_build,      ///< no build variant fits the target
    kernelize,     ///< a layer could not be replaced, or a result differs
    interrupted,   ///< the user stopped it
};

/// The exit status documented for `code`: 1 failed, 2 usage or project file, 3 lock, 4 not found, 5 network,
/// 6 verification, 7 no build, 8 kernelize, 130 interrupted.
int exit_status(ErrorCode code) noexcept;

/// The stable name of `code` in `--json` documents, such as "not-found".
std::string_view to_string(ErrorCode code) noexcept;

/// Something that a hint advises, and that programs have names of their own for: a hint says it in the
/// library's terms, and `kernels` adds the option that does it.
enum class Remedy {
    cache,              ///< another cache folder
    online,             ///< a connection to the Hub
    output,             ///< another folder for the result
    torch,              ///< a torch that is named
    device,             ///< a device that is named
    target,             ///< a target that is named
    skip_device_check,  ///< DeviceCheck::no
    download,           ///< to download what the cache lacks
    fallback_default,   ///< KernelizeFallback::standard
    fallback_all,       ///< KernelizeFallback::all
};

/// Every failure that this library reports.
///
/// `message` is one line that names the thing at fault, "what: why"; `hint`, when not empty, says what to do.
/// A hint may name a whole command (`kernels lock`), but no option: who reads it may be no user of `kernels`.
/// `details` are further lines (one a rejected build variant, say), printed below the message.
/// What programs want to know of a missing build is kept in fields beside its sentences.
class Error : public std::runtime_error {
  public:
    /// A build that was not taken.
    struct Build {
        std::string variant;
        std::string reason;  ///< the stable name of the rule: "torch-version", "device", ...
        std::string text;    ///< why, for people
    };
    /// Something that would help.
    struct Suggestion {
        std::string kind;     ///< "version", "torch", "backend", "macos" or "tvm-ffi"
        std::string value;    ///< what to choose: "v3", "2.12"
        std::string variant;  ///< the build that would then fit
        std::string text;     ///< the sentence, as in the hint
    };

    Error(ErrorCode code, const std::string& message, std::string hint = {},
          std::vector<std::string> details = {});

    /// The same error with these fields.
    Error with_builds(std::vector<Build> builds, std::vector<Suggestion> suggestions) const;
    /// The same error, whose hint advises these things too.
    Error with_remedies(const std::vector<Remedy>& remedies) const;
    /// The same error with the errors that it sums up.
    Error with_causes(std::vector<Error> causes) const;
    /// The same error, told differently; everything else stays.
    Error reworded(const std::string& message, std::string hint) const;
    Error reworded(const std::string& message) const { return reworded(message, m_hint); }

    ErrorCode code() const noexcept { return m_code; }
    const std::string& hint() const noexcept { return m_hint; }
    const std::vector<Remedy>& remedies() const noexcept { return m_remedies; }
    const std::vector<std::string>& details() const noexcept { return m_details; }
    const std::vector<Build>& builds() const noexcept { return m_builds; }
    const std::vector<Suggestion>& suggestions() const noexcept { return m_suggestions; }
    const std::vector<Error>& causes() const noexcept { return m_causes; }

  private:
    ErrorCode m_code;
    std::string m_hint;
    std::vector<Remedy> m_remedies;
    std::vector<std::string> m_details;
    std::vector<Build> m_builds;
    std::vector<Suggestion> m_suggestions;
    std::vector<Error> m_causes;
};

}  // namespace kernels
