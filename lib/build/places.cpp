#include "build/places.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <regex>
#include <utility>

#include "build/python_packages.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

// pyenv takes "3.11" for the newest 3.11.x that it has.
fs::path pyenv_prefix(const fs::path& versions, const std::string& version) {
    if (is_there(versions / version)) return versions / version;
    static const std::regex number(R"(\d{1,4})");
    std::error_code error;
    std::optional<std::pair<int, fs::path>> newest;
    for (const auto& entry : fs::directory_iterator(versions, error)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with(version + ".")) continue;
        const std::string patch = name.substr(version.size() + 1);
        if (!std::regex_match(patch, number)) continue;
        if (!newest || std::stoi(patch) > newest->first) newest.emplace(std::stoi(patch), entry.path());
    }
    return newest ? newest->second : versions / version;
}

// The version that pyenv's shim would run: its variable, a .python-version of the project or above it, else
// the global choice. "system" names none.
std::optional<std::string> pyenv_version(const fs::path& root, const fs::path& project) {
    auto text = environment_variable("PYENV_VERSION");
    std::error_code error;
    for (fs::path folder = fs::absolute(project, error).lexically_normal(); !text && !folder.empty();
         folder = folder.parent_path()) {
        text = read_file_if_exists(folder / ".python-version");
        if (folder == folder.root_path()) break;
    }
    if (!text) text = read_file_if_exists(root / "version");
    if (!text) return std::nullopt;
    for (const auto line : split(*text, '\n')) {
        const auto words = trimmed(line);
        if (words.empty() || words.front() == '#') continue;
        const std::string first(words.substr(0, words.find_first_of(": \t\r#")));  // several may be active
        return first.empty() || first == "system" ? std::nullopt : std::optional(first);
    }
    return std::nullopt;
}

// The places of one Python.
void append(std::vector<Place>& out, std::vector<Place> more) {
    const int interpreter = out.empty() ? 1 : std::max(out.back().interpreter, 0) + 1;
    for (auto& place : more)
        place.interpreter = interpreter;
    std::move(more.begin(), more.end(), std::back_inserter(out));
}

// Adds the prefixes whose packages `python3` on PATH would use.
void add_python_on_path(std::vector<Place>& out, const fs::path& project) {
    const std::string path = environment_variable("PATH").value_or("");
    for (const auto entry : split(path, ':')) {
        const fs::path folder(entry);
        if (entry.empty() || !is_program(folder / "python3")) continue;
        const std::string origin = "python3 on PATH";
        if (folder.filename() == "shims" && !is_there(folder.parent_path() / "pyvenv.cfg")) {
            const fs::path root = folder.parent_path();
            const auto version = pyenv_version(root, project);
            if (!version) continue;  // the shim passes on to the next python3
            const fs::path prefix = pyenv_prefix(root / "versions", *version);
            if (is_there(prefix)) {
                append(out, python_places(prefix, origin + ", by pyenv", true));
            } else {
                append(out, {{prefix, origin + ", by pyenv"}});  // the shim fails: no user's packages either
            }
        } else {
            append(out, places_of_program(folder / "python3", origin));
        }
        return;
    }
}

// The folder that was named and those above it, up to the project's.
std::vector<fs::path> project_folders(const DetectOptions& options) {
    std::vector<fs::path> folders{options.project};
    if (options.project_root.empty()) return folders;
    const auto whole = [](const fs::path& path) {
        std::error_code error;
        auto out = fs::absolute(path, error).lexically_normal();
        return out.has_filename() ? out : out.parent_path();
    };
    const fs::path root = whole(options.project_root);
    fs::path folder = whole(options.project);
    while (folder != root && folder.has_parent_path() && folder.parent_path() != folder) {
        folder = folder.parent_path();
        folders.push_back(folder);
    }
    return folders;
}

}  // namespace

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

std::vector<Place> python_path() {
    std::vector<Place> out;
    const std::string entries = environment_variable("PYTHONPATH").value_or("");
    for (const auto entry : split(entries, ':')) {
        if (!entry.empty()) out.push_back({fs::path(entry), "PYTHONPATH", {}, Place::every_python});
    }
    return out;
}

std::vector<Place> places(const DetectOptions& options) {
    auto out = python_path();
    if (const auto prefix = environment_variable("VIRTUAL_ENV"))
        append(out, python_places(*prefix, "VIRTUAL_ENV", false));
    if (const auto prefix = environment_variable("CONDA_PREFIX"))
        append(out, python_places(*prefix, "CONDA_PREFIX", true));
    for (const auto& folder : project_folders(options))
        append(out, python_places(folder / ".venv", ".venv of the project", false));
    add_python_on_path(out, options.project);
    const std::string prefixes = environment_variable("CMAKE_PREFIX_PATH").value_or("");
    std::string separated = prefixes;
    std::replace(separated.begin(), separated.end(), ';', ':');
    for (const auto prefix : split(separated, ':')) {
        if (!prefix.empty()) out.push_back({fs::path(prefix), "CMAKE_PREFIX_PATH"});
    }
    out.push_back({"/usr", "/usr"});
    return out;
}

std::vector<Place> named_places(const fs::path& path, const std::string& origin) {
    auto out = python_path();
    static const std::regex python(R"(python(3(\.\d{1,4}t?)?)?)");
    std::error_code error;
    const bool is_file = fs::is_regular_file(path, error);
    if (is_file && std::regex_match(path.filename().string(), python)) {
        append(out, places_of_program(path, origin));
    } else if (!is_file && (is_there(path / "bin/python3") || is_there(path / "pyvenv.cfg"))) {
        append(out, python_places(path, origin, true));
    } else {
        out.push_back({is_file ? path.parent_path().parent_path() : path, origin});
    }
    return out;
}

std::optional<TorchInstallation> torch_at(const fs::path& prefix, const std::vector<fs::path>& packages) {
    const auto read = [&](const fs::path& folder) { return read_torch_on(this_system, folder, packages); };
    // What torch.utils.cmake_prefix_path prints.
    const fs::path plain = prefix.has_filename() ? prefix : prefix.parent_path();
    if (plain.filename() == "cmake" && plain.parent_path().filename() == "share") {
        if (auto found = read(plain.parent_path().parent_path())) return found;
    }
    if (auto found = read(prefix)) return found;
    if (auto found = read(prefix / "torch")) return found;
    return read(prefix / "libtorch");
}

std::optional<TorchInstallation> torch_below(const Place& place, const std::vector<Place>& all) {
    const auto packages = search_path(place, all);
    if (auto found = torch_at(place.prefix, packages)) return found;
    for (const auto& folder : package_folders(place.prefix, place.python)) {
        if (auto found = read_torch_on(this_system, folder / "torch", packages)) return found;
    }
    return std::nullopt;
}

std::optional<Version> macos_version(const fs::path& system_version_plist) {
    const auto text = read_file_if_exists(system_version_plist);
    std::smatch match;
    const std::regex entry(R"(<key>ProductVersion</key>\s*<string>(\d+(?:\.\d+)*))");
    if (!text || !std::regex_search(*text, match, entry)) return std::nullopt;
    return Version::parse(match[1].str());
}

std::optional<StatedVersion> rocm_version() {
    for (const auto& home : {environment_variable("ROCM_PATH"), environment_variable("ROCM_HOME"),
                             std::optional<std::string>("/opt/rocm")}) {
        if (!home) continue;
        const fs::path file = fs::path(*home) / ".info/version";
        const auto text = read_file_if_exists(file);
        std::smatch match;
        if (text && std::regex_search(*text, match, std::regex(R"(^(\d{1,3}\.\d{1,3}))")))
            return StatedVersion{Version::parse(match[1].str()), file.string()};
    }
    return std::nullopt;
}

std::optional<StatedVersion> cann_version() {
    std::vector<fs::path> homes;
    for (const char* variable : {"ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"}) {
        if (const auto home = environment_variable(variable)) homes.emplace_back(*home);
    }
    homes.emplace_back("/usr/local/Ascend/ascend-toolkit/latest");
    homes.emplace_back("/usr/local/Ascend/cann");
    for (const auto& home : homes) {
        for (const char* file :
             {"x86_64-linux/ascend_toolkit_install.info", "aarch64-linux/ascend_toolkit_install.info",
              "x86_64-linux/ascend_all_cann_install.info", "aarch64-linux/ascend_all_cann_install.info",
              "ascend_toolkit_install.info", "version.cfg"}) {
            const auto text = read_file_if_exists(home / file);
            std::smatch match;
            // "version=8.3.RC1" in the one, "[8.3.0.1:8.3.RC1]" in the other
            if (text && std::regex_search(*text, match, std::regex(R"((?:version=|\[)(\d+\.\d+))")))
                return StatedVersion{Version::parse(match[1].str()), (home / file).string()};
        }
    }
    return std::nullopt;
}

}  // namespace kernels::build
