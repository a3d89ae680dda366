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

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

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
    const std::string line = first_line(*text);
    const std::string first(split(line, ':').front());  // several may be active; the first wins
    return first.empty() || first == "system" ? std::nullopt : std::optional(first);
}

void append(std::vector<Place>& out, std::vector<Place> more) {
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
            append(out, python_places(prefix, origin + ", by pyenv", true));
        } else {
            append(out, places_of_program(folder, origin));
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

std::vector<Place> places(const DetectOptions& options) {
    std::vector<Place> out;
    const std::string python_path = environment_variable("PYTHONPATH").value_or("");
    for (const auto entry : split(python_path, ':')) {  // before the packages of any environment
        if (!entry.empty()) out.push_back({fs::path(entry), "PYTHONPATH"});
    }
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

std::optional<TorchInstallation> torch_below(const fs::path& prefix, const std::string& python) {
    // What torch.utils.cmake_prefix_path prints.
    const fs::path plain = prefix.has_filename() ? prefix : prefix.parent_path();
    if (plain.filename() == "cmake" && plain.parent_path().filename() == "share") {
        if (auto found = read_torch(plain.parent_path().parent_path())) return found;
    }
    if (auto found = read_torch(prefix)) return found;
    if (auto found = read_torch(prefix / "torch")) return found;
    if (auto found = read_torch(prefix / "libtorch")) return found;
    for (const auto& packages : package_folders(prefix, python)) {
        if (auto found = read_torch(packages / "torch")) return found;
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

std::optional<Version> cann_version() {
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
                return Version::parse(match[1].str());
        }
    }
    return std::nullopt;
}

}  // namespace kernels::build
