#include "build/places.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
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

// 11 of "python3.11", -1 of "python3"; nothing of other names.
std::optional<int> minor_version(const std::string& name) {
    static const std::regex python(R"(python3(?:\.(\d{1,4})t?)?)");
    std::smatch match;
    if (!std::regex_match(name, match, python)) return std::nullopt;
    return match[1].matched ? std::stoi(match[1].str()) : -1;
}

// "3.11" of what a program python3 is a link to; empty when its name does not tell.
std::string version_of_program(const fs::path& python) {
    std::error_code error;
    const auto minor = minor_version(fs::canonical(python, error).filename().string());
    return !error && minor && *minor >= 0 ? "3." + std::to_string(*minor) : std::string();
}

// What pyvenv.cfg says about the interpreter that the environment was made from; empty where there is none.
std::map<std::string, std::string> venv_settings(const fs::path& prefix) {
    std::map<std::string, std::string> settings;
    const std::string text = read_file_if_exists(prefix / "pyvenv.cfg").value_or("");
    for (const auto line : split(text, '\n')) {
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        settings.insert_or_assign(std::string(trimmed(line.substr(0, equals))),
                                  std::string(trimmed(line.substr(equals + 1))));
    }
    return settings;
}

// The version of the Python that the environment is for; empty when it does not tell.
std::string python_of(const fs::path& prefix) {
    const auto settings = venv_settings(prefix);
    for (const char* key : {"version", "version_info"}) {
        static const std::regex version(R"((\d+\.\d+).*)");
        std::smatch match;
        const auto found = settings.find(key);
        if (found != settings.end() && std::regex_match(found->second, match, version)) return match[1].str();
    }
    return version_of_program(prefix / "bin" / "python3");
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

// Where the environment's interpreter is installed, if the environment uses the packages of that as well.
std::optional<fs::path> base_of_venv(const fs::path& prefix) {
    auto settings = venv_settings(prefix);
    if (lower(settings["include-system-site-packages"]) != "true" || !settings.contains("home"))
        return std::nullopt;
    return fs::path(settings["home"]).parent_path();
}

// Adds the prefixes whose packages `python3` on PATH would use.
void add_python_on_path(std::vector<Place>& out, const fs::path& project) {
    std::error_code error;
    const std::string path = environment_variable("PATH").value_or("");
    for (const auto entry : split(path, ':')) {
        const fs::path folder(entry);
        const fs::path python = folder / "python3";
        if (entry.empty() || !is_program(python)) continue;
        const std::string origin = "python3 on PATH";
        if (is_there(folder.parent_path() / "pyvenv.cfg")) {
            out.push_back({folder.parent_path(), origin});
            return;
        }
        if (folder.filename() == "shims") {
            const fs::path root = folder.parent_path();
            const auto version = pyenv_version(root, project);
            if (!version) continue;  // the shim passes on to the next python3
            out.push_back({pyenv_prefix(root / "versions", *version), origin + ", by pyenv"});
            return;
        }
        // In the order in which Python looks.
        const std::string version = version_of_program(python);
        out.push_back({home_directory() / ".local", origin + ", the user's packages", version});
        if (folder.parent_path() == "/usr" || folder == "/bin")
            out.push_back({"/usr/local", origin, version});
        const fs::path real = fs::canonical(python, error);
        if (!error) out.push_back({real.parent_path().parent_path(), origin, version});
        out.push_back({folder.parent_path(), origin, version});
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

std::vector<fs::path> package_folders(const fs::path& prefix, std::string python) {
    if (python.empty()) python = python_of(prefix);
    std::vector<fs::path> out;
    std::error_code error;
    for (const char* lib : {"lib", "lib64"}) {
        std::vector<std::pair<int, fs::path>> pythons;  // by minor version; -1 for Debian's "python3"
        for (const auto& entry : fs::directory_iterator(prefix / lib, error)) {
            const auto minor = minor_version(entry.path().filename().string());
            const bool is_its =
                python.empty() || !minor || *minor < 0 || python == "3." + std::to_string(*minor);
            if (minor && is_its) pythons.emplace_back(*minor, entry.path());
        }
        std::sort(pythons.rbegin(), pythons.rend());  // the order of a folder is nobody's promise
        for (const auto& [minor, folder] : pythons) {
            for (const char* packages : {"site-packages", "dist-packages"}) {
                if (is_there(folder / packages)) out.push_back(folder / packages);
            }
        }
    }
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
