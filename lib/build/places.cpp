#include "build/places.hpp"

#include <algorithm>
#include <cctype>
#include <regex>

#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
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

// What pyvenv.cfg says about the interpreter that the environment was made from.
std::optional<fs::path> base_of_venv(const fs::path& prefix) {
    const auto config = read_file_if_exists(prefix / "pyvenv.cfg");
    if (!config) return std::nullopt;
    std::optional<fs::path> home;
    bool shared = false;
    for (const auto line : split(*config, '\n')) {
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        const auto key = trimmed(line.substr(0, equals));
        const auto value = trimmed(line.substr(equals + 1));
        if (key == "home") home = fs::path(value).parent_path();
        if (key == "include-system-site-packages") shared = lower(value) == "true";
    }
    return shared ? home : std::nullopt;
}

// Adds the prefixes whose packages `python3` on PATH would use.
void add_python_on_path(std::vector<Place>& out, const fs::path& project) {
    std::error_code error;
    const std::string path = environment_variable("PATH").value_or("");
    for (const auto entry : split(path, ':')) {
        const fs::path folder(entry);
        const fs::path python = folder / "python3";
        if (entry.empty() || !is_there(python)) continue;
        const std::string origin = "python3 on PATH";
        if (is_there(folder.parent_path() / "pyvenv.cfg")) {
            out.push_back({folder.parent_path(), origin});
            return;
        }
        if (folder.filename() == "shims") {
            const fs::path root = folder.parent_path();
            const auto version = pyenv_version(root, project);
            if (!version) continue;  // the shim passes on to the next python3
            out.push_back({root / "versions" / *version, origin + ", by pyenv"});
            return;
        }
        const fs::path real = fs::canonical(python, error);
        if (!error) out.push_back({real.parent_path().parent_path(), origin});
        out.push_back({folder.parent_path(), origin});
        out.push_back({home_directory() / ".local", origin + ", the user's packages"});
        if (folder.parent_path() == "/usr" || folder == "/bin") out.push_back({"/usr/local", origin});
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
    const fs::path& project = options.project;
    std::vector<Place> named;
    for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        if (const auto prefix = environment_variable(variable)) named.push_back({*prefix, variable});
    }
    for (const auto& folder : project_folders(options))
        named.push_back({folder / ".venv", ".venv of the project"});
    add_python_on_path(named, project);
    std::vector<Place> out;
    for (auto& place : named) {
        const auto base = base_of_venv(place.prefix);
        out.push_back(place);
        if (base) out.push_back({*base, place.origin + ", system packages"});
    }
    const std::string prefixes = environment_variable("CMAKE_PREFIX_PATH").value_or("");
    std::string separated = prefixes;
    std::replace(separated.begin(), separated.end(), ';', ':');
    for (const auto prefix : split(separated, ':')) {
        if (!prefix.empty()) out.push_back({fs::path(prefix), "CMAKE_PREFIX_PATH"});
    }
    out.push_back({"/usr", "/usr"});
    return out;
}

std::vector<fs::path> package_folders(const fs::path& prefix) {
    std::vector<fs::path> out;
    std::error_code error;
    for (const char* lib : {"lib", "lib64"}) {
        std::vector<fs::path> pythons;
        for (const auto& entry : fs::directory_iterator(prefix / lib, error)) {
            if (entry.path().filename().string().starts_with("python3")) pythons.push_back(entry.path());
        }
        std::sort(pythons.rbegin(), pythons.rend());  // the order of a folder is nobody's promise
        for (const auto& python : pythons) {
            for (const char* packages : {"site-packages", "dist-packages"}) {
                if (is_there(python / packages)) out.push_back(python / packages);
            }
        }
    }
    return out;
}

std::optional<TorchInstallation> torch_below(const fs::path& prefix) {
    // What torch.utils.cmake_prefix_path prints.
    const fs::path plain = prefix.has_filename() ? prefix : prefix.parent_path();
    if (plain.filename() == "cmake" && plain.parent_path().filename() == "share") {
        if (auto found = read_torch(plain.parent_path().parent_path())) return found;
    }
    if (auto found = read_torch(prefix)) return found;
    if (auto found = read_torch(prefix / "torch")) return found;
    if (auto found = read_torch(prefix / "libtorch")) return found;
    for (const auto& packages : package_folders(prefix)) {
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
