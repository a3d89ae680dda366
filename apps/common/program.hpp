// The frame of a program: one try, one place that prints errors, one place that turns them into exit
// statuses.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/arguments.hpp"
#include "kernels/build/environment.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
#include "kernels/hub/hub.hpp"

namespace kernels::app {

/// What a command is given.
struct Context {
    Arguments arguments;
    std::vector<std::string> command_line;  ///< as it was given, without the program's name
    bool json = false;
    bool quiet = false;
    bool progress = true;
    bool colour_out = false;  ///< stdout is a terminal that may show colour
    bool colour_err = false;
    log::Sink log_sink;  ///< where messages beside the result go

    /// The Hub's settings: flag, then environment, then default.
    hub::Settings settings() const;
    /// The folder that a project command works on: the positional argument, --project, or the current one.
    std::string project_folder() const;
    /// How to look at this machine: with the torch of --torch, or the one that the project uses that `folder`
    /// belongs to. Every command begins in the same folder: the positional one, --project or the current.
    build::DetectOptions detect_options(const std::filesystem::path& folder) const;
    /// What a --target names. What it leaves open is as in `base`; its torch is that of --torch, else of
    /// `base`, else the one that the project in `folder` uses, unless the target names another framework.
    /// Throws Error(usage) when both name a torch, and not the same, and when --torch names one for another
    /// backend.
    build::Target named_target(const std::string& spec, build::Target base,
                               const std::filesystem::path& folder) const;
};

/// What a command wants of the cache.
enum class CacheUse {
    asks,   ///< what it holds or the Hub says; what that brings may be kept or not
    fills,  ///< to hold something afterwards
    reads,  ///< what it holds; what the Hub says is not kept
};

/// A connection to the Hub (or only to its cache, when offline) for one command. Who only asks needs no cache
/// that can be written: where it cannot be, what is new is kept in a folder that goes with the session.
class Session {
  public:
    explicit Session(const Context& context, CacheUse use = CacheUse::asks);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    const hub::Hub& hub() const noexcept { return m_hub; }

  private:
    hub::Settings m_settings;
    std::unique_ptr<hub::HttpClient> m_http;
    std::filesystem::path m_temporary;
    hub::Cache m_cache;
    hub::Hub m_hub;
};

using Run = int (*)(const Context&);

/// Parses, sets up messages, runs `run`, prints what it throws, and gives the exit status.
int run_program(int argc, const char* const* argv, Run run);

/// The builds that an error tells of and its suggestions, as `builds` and `suggestions` of a document; not
/// there where it has none.
void add_builds(nlohmann::ordered_json& document, const Error& error);

/// Prints a JSON document with its schema version, `{"schema": 1, …}`.
void print_json(nlohmann::ordered_json document);

/// `text` in bold, or a status in its colour, when `colour`.
std::string bold(const std::string& text, bool colour);

/// Whether the user has pressed Ctrl-C.
const std::atomic<bool>& interrupted();

/// Ends the process with status 130 some seconds after Ctrl-C, when nothing has asked interrupted() by then:
/// a kernel or a model can run for ever, and a disk be slow. Files of which a part is written have no name
/// until they are whole.
void end_after_interrupt(unsigned seconds);

}  // namespace kernels::app
