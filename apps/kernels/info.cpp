// kernels info: what a kernel says about itself; a repository or a local folder.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include "commands.hpp"
#include "kernels/build/fatbin.hpp"
#include "kernels/build/metadata.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"
#include "kernels/lock/download.hpp"
#include "kernels/lock/redirect.hpp"
#include "local_builds.hpp"
#include "targets.hpp"

namespace kernels::app {
namespace {

namespace fs = std::filesystem;

struct Kernel {
    nlohmann::ordered_json names;  ///< what it is called: repo_id and revision, or path
    std::vector<LocalBuild> builds;
    OtherVersions others = {};
};

Kernel local_kernel(const fs::path& folder) {
    return {{{"path", printed_path(folder)}}, local_builds(folder)};
}

// The newest version, unless one is named.
Reference reference_from(const Context& context, const RepoId& repo, const hub::Hub& hub) {
    if (const auto revision = context.arguments.value("--revision")) return Revision{*revision};
    if (const auto version = context.arguments.number("--version", 0)) return KernelVersion{*version};
    const auto versions = hub.versions(repo);
    if (versions.empty()) return Revision{"main"};
    return KernelVersion{versions.rbegin()->first};
}

Kernel hub_kernel(const Context& context, const std::string& name, bool all_metadata, const hub::Hub& hub) {
    const RepoId named = RepoId::parse(name);
    Dependency asked{named, reference_from(context, named, hub)};
    Commit commit = hub.resolve(named, asked.reference);
    constexpr int most_moves = 10;
    for (int moves = 0; const auto redirect = lock::shown_redirect(asked.repo, commit, hub); ++moves) {
        if (moves == most_moves)
            throw Error(ErrorCode::failed,
                        name + ": moved again and again, last to " + redirect->to_string());
        log::warning(asked.to_string() + ": moved to " + redirect->to_string());
        asked = *redirect;
        commit = hub.resolve(asked.repo, asked.reference);
    }
    const RepoId& repo = asked.repo;
    Kernel kernel{{{"repo_id", repo.to_string()}, {"revision", asked.reference.to_string()}}, {}};
    const bool check_device = !context.arguments.has("--no-device-check");
    kernel.others = [=, &hub, found = std::optional<std::vector<build::OtherVersion>>()]() mutable {
        if (!found) found = lock::other_versions(repo, commit, check_device, hub);  // once for all targets
        return *found;
    };
    bool is_described = false;
    for (auto& variant : lock::variants_of(hub.tree(repo, commit), repo.to_string())) {
        const std::string folder = "build/" + variant.to_string();
        LocalBuild build{std::move(variant), {}, hub.cache().snapshot_folder(repo, commit) / folder};
        // What describes the kernel is the same in every build, so one is read; all when each is shown.
        if (!is_described || all_metadata) {
            const std::string path = folder + "/metadata.json";
            if (const auto text = hub.small_file(repo, commit, path))
                build.metadata = metadata_of(*text, repo.to_string() + ": " + path);
        }
        is_described = is_described || build.metadata.has_value();
        kernel.builds.push_back(std::move(build));
    }
    return kernel;
}

// The device code of the libraries, as far as the build is on this machine.
build::DeviceCode code_of(const LocalBuild& build) {
    std::error_code ignored;
    if (!fs::is_directory(build.folder, ignored)) return {};
    auto code = build::merged(build::read_build_code(build.folder));
    for (const auto& problem : code.problems)
        log::warning(build.variant.to_string() + ": " + problem);
    return code;
}

nlohmann::ordered_json or_null(const std::optional<std::string>& text) {
    return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json(nullptr);
}

// The Python client's document: its keys in its order.
nlohmann::ordered_json to_json(const Kernel& kernel, bool archs, const std::vector<build::Target>& targets,
                               const Context& context) {
    auto document = kernel.names;
    const auto described = std::find_if(kernel.builds.begin(), kernel.builds.end(),
                                        [](const LocalBuild& build) { return build.metadata.has_value(); });
    if (described != kernel.builds.end()) {
        const auto& metadata = *described->metadata;
        document["name"] = metadata.name;
        document["version"] = metadata.version;
        document["kernels_minver"] = or_null(metadata.kernels_minver);
        document["license"] = or_null(metadata.license);
        document["upstream"] = or_null(metadata.upstream);
        document["source"] = or_null(metadata.source);
        document["python_depends"] = metadata.python_depends;
    }
    std::set<std::string> backends;
    for (const auto& build : kernel.builds)
        backends.insert(build.variant.backend_name());
    document["backends"] = backends;
    if (!targets.empty()) {
        std::vector<build::BuildVariant> variants;
        for (const auto& build : kernel.builds)
            variants.push_back(build.variant);
        document["targets"] =
            targets_to_json(variants, targets, unless_skipped(context, fit_of(kernel.builds)), kernel.others);
    }
    if (!archs) return document;
    auto& list = document["archs"] = nlohmann::ordered_json::array();
    for (const auto& build : kernel.builds) {
        const auto code = code_of(build);
        list.push_back({{"variant", build.variant.to_string()},
                        {"metadata", build.metadata ? build.metadata->archs : std::vector<std::string>{}},
                        {"libraries", build::arch_names(code)},
                        {"code", build::code_names(code)},
                        {"problems", code.problems}});
    }
    return document;
}

void print_text(const nlohmann::ordered_json& document) {
    const auto text = [&](const char* key) -> std::string {
        const auto found = document.find(key);
        if (found == document.end() || found->is_null() || (found->is_array() && found->empty())) return "-";
        if (found->is_array()) return join(found->get<std::vector<std::string>>(), ", ");
        return found->is_string() ? found->get<std::string>() : found->dump();
    };
    // A publisher's text is no command to a terminal; a pipe gets the Python client's bytes.
    const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
    const auto line = [&](const char* label, const char* key) {
        std::printf("%s: %s\n", label, (is_terminal ? printable(text(key)) : text(key)).c_str());
    };
    if (document.contains("repo_id")) {
        line("Repository", "repo_id");
        line("Revision", "revision");
    } else {
        line("Path", "path");
    }
    line("Name", "name");
    line("Version", "version");
    line("Minimum kernels version", "kernels_minver");
    line("License", "license");
    line("Upstream", "upstream");
    line("Source", "source");
    line("Python dependencies", "python_depends");
    line("Backends", "backends");
    if (document.contains("targets")) {
        for (const auto& target : document.at("targets")) {
            const auto& preferred = target.at("preferred");
            std::printf("Build for %s: %s\n", target.at("target").get<std::string>().c_str(),
                        preferred.is_null() ? "none" : preferred.get<std::string>().c_str());
            for (const auto& build : target.at("builds")) {
                const bool unknown = build.contains("device");
                if (!unknown && !build.contains("text")) continue;
                std::printf("  %s: %s\n", build.at("variant").get<std::string>().c_str(),
                            unknown ? "fits by its name; whether it has code for the device is not known"
                                    : build.at("text").get<std::string>().c_str());
            }
            for (const auto& suggestion : target.value("suggestions", nlohmann::ordered_json::array()))
                std::printf("  %s\n", suggestion.at("text").get<std::string>().c_str());
        }
    }
    if (!document.contains("archs")) return;
    std::puts("Archs (as the metadata says; in the libraries that are on this machine):");
    for (const auto& build : document.at("archs")) {
        const auto list = [&](const char* key, const char* separator) {
            const auto names = build.at(key).get<std::vector<std::string>>();
            return names.empty() ? std::string("-") : join(names, separator);
        };
        const auto code = list("code", ", ");
        std::printf("  %s: %s; %s%s\n", build.at("variant").get<std::string>().c_str(),
                    list("metadata", " ").c_str(), list("libraries", " ").c_str(),
                    code == "-" ? "" : (" (" + code + ")").c_str());
    }
}

// As the Python client prints a document, byte for byte.
void print_ascii(const nlohmann::ordered_json& document) {
    std::puts(document.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

// A library by itself: what cuobjdump or roc-obj-ls would list.
int run_library_info(const Context& context, const fs::path& file,
                     const std::vector<build::Target>& targets) {
    if (!context.arguments.has("--archs")) {
        throw Error(ErrorCode::usage, file.string() + ": a file says nothing but its device code",
                    "add --archs, or name the folder of the kernel");
    }
    const auto code = build::read_device_code(file);
    const auto parts = build::code_names(code);
    nlohmann::ordered_json document = {{"path", file.string()},
                                       {"libraries", build::arch_names(code)},
                                       {"code", parts},
                                       {"problems", code.problems}};
    for (const auto& target : targets) {
        const auto fit = build::device_fit(code, target);
        document["targets"].push_back(
            {{"target", target.to_string()},
             {"fits", fit.fit == build::Fit::unknown ? nlohmann::ordered_json(nullptr)
                                                     : nlohmann::ordered_json(fit.fit == build::Fit::yes)},
             {"text", fit.text + (fit.caution.empty() ? "" : "; " + fit.caution)}});
    }
    // What could be read is told all the same.
    if (context.json) {
        print_ascii(document);
        return code.problems.empty() ? 0 : exit_status(ErrorCode::failed);
    }
    const auto line = [](const char* label, const std::vector<std::string>& words) {
        std::printf("%s: %s\n", label, words.empty() ? "-" : join(words, ", ").c_str());
    };
    std::printf("Path: %s\n", file.c_str());
    line("Archs", build::arch_names(code));
    line("Device code", parts);
    for (const auto& target : document.value("targets", nlohmann::ordered_json::array())) {
        const auto& fits = target.at("fits");
        const auto text = target.at("text").get<std::string>();
        std::printf("For %s: %s%s\n", target.at("target").get<std::string>().c_str(),
                    fits.is_null()     ? "not known"
                    : fits.get<bool>() ? "fits"
                                       : "does not fit",
                    text.empty() ? "" : (": " + text).c_str());
    }
    if (code.problems.empty()) return 0;
    throw Error(ErrorCode::failed,
                file.string() + ": not all of it can be read: " + join(code.problems, "; "));
}

}  // namespace

int run_info(const Context& context) {
    const std::string& name = context.arguments.positional().front();
    const bool by_revision = context.arguments.has("--revision");
    const bool by_version = context.arguments.has("--version");
    if (by_revision && by_version) {
        throw Error(ErrorCode::usage, "--revision and --version were both given", "name one of the two");
    }
    std::vector<build::Target> targets;
    if (names_targets(context))
        targets = targets_from(context, context.arguments.value("--project").value_or("."));
    std::error_code ignored;
    if (!fs::is_directory(name, ignored) && fs::exists(name, ignored)) {
        if (by_revision || by_version)
            throw Error(ErrorCode::usage, name + ": a local file has no --revision and no --version");
        return run_library_info(context, name, targets);
    }
    std::optional<Session> session;  // outlives the kernel, which may ask for its other versions
    Kernel kernel;
    // As everywhere, LOCAL_KERNELS stands in for the repository; a revision asks for the repository's own.
    if (fs::is_directory(name, ignored) && (by_revision || by_version))
        throw Error(ErrorCode::usage, name + ": a local folder has no --revision and no --version");
    std::optional<fs::path> local;
    if (!by_revision && !by_version) local = local_folder(name);
    if (local) {
        kernel = local_kernel(*local);
    } else {
        session.emplace(context);
        const bool all_metadata = context.arguments.has("--archs") ||
                                  std::any_of(targets.begin(), targets.end(), build::names_device);
        kernel = hub_kernel(context, name, all_metadata, session->hub());
    }
    if (kernel.builds.empty()) throw Error(ErrorCode::not_found, name + ": there are no builds in it");
    const auto document = to_json(kernel, context.arguments.has("--archs"), targets, context);
    if (context.json) {
        print_ascii(document);
    } else {
        print_text(document);
    }
    return 0;
}

}  // namespace kernels::app
