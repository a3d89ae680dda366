#include "build/python_packages.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <regex>
#include <utility>

#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

namespace fs = std::filesystem;

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

// Whether the Python of a prefix is built as Debian's: its packages are in dist-packages.
bool is_of_debian(const fs::path& prefix) {
    return is_there(prefix / "lib/python3/dist-packages");
}

// `folder`/python3.11, …: those of the Python, the newest first, as the order of a folder is nobody's
// promise.
std::vector<fs::path> folders_of(const fs::path& folder, const std::string& python) {
    std::vector<std::pair<int, fs::path>> pythons;  // by minor version; -1 for Debian's "python3"
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        const auto minor = minor_version(entry.path().filename().string());
        const bool is_its = python.empty() || !minor || *minor < 0 || python == "3." + std::to_string(*minor);
        if (minor && is_its) pythons.emplace_back(*minor, entry.path());
    }
    std::sort(pythons.rbegin(), pythons.rend());
    std::vector<fs::path> out;
    for (auto& [minor, path] : pythons)
        out.push_back(std::move(path));
    return out;
}

// As the module `site` adds them for Python `python`, unless the environment says not to.
void add_user_packages(std::vector<Place>& out, const std::string& origin, const std::string& python) {
    if (environment_variable("PYTHONNOUSERSITE")) return;
    const auto base = environment_variable("PYTHONUSERBASE");
    out.push_back(
        {base ? expand_user(*base) : home_directory() / ".local", origin + ", the user's packages", python});
}

// The packages of an installed Python by its program, and by what that is a link to too.
void add_installation(std::vector<Place>& out, const fs::path& program, const std::string& origin,
                      const std::string& python) {
    std::vector<fs::path> prefixes;
    const auto add = [&](const fs::path& prefix) {
        if (std::find(prefixes.begin(), prefixes.end(), prefix) == prefixes.end()) prefixes.push_back(prefix);
    };
    std::error_code error;
    const fs::path folder = program.parent_path();
    const fs::path real = fs::canonical(program, error);
    if (!error) add(real.parent_path().parent_path());
    add(folder == "/bin" ? "/usr" : folder.parent_path());
    // Where others than Debian have the packages that pip installs.
    const bool of_system = std::find(prefixes.begin(), prefixes.end(), "/usr") != prefixes.end();
    if (of_system && !is_of_debian("/usr")) out.push_back({"/usr/local", origin, python});
    for (auto& prefix : prefixes)
        out.push_back({std::move(prefix), origin, python});
}

// The folders that the .pth files among packages add, in the order of Python's module `site`: by the files'
// names, a line each. Lines that are code are not run.
std::vector<fs::path> added_by_pth(const fs::path& packages) {
    constexpr std::uintmax_t greatest = std::uintmax_t{1} << 20U;
    std::error_code error;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(packages, error)) {
        const std::string name = entry.path().filename();
        std::error_code ignored;
        if (name.ends_with(".pth") && !name.starts_with('.') && entry.is_regular_file(ignored) &&
            entry.file_size(ignored) <= greatest)
            files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::vector<fs::path> out;
    for (const auto& file : files) {
        std::string text;
        try {
            text = read_file(file, greatest);
        } catch (const Error&) {
            continue;  // Python passes over it too
        }
        for (const auto line : split(text, '\n')) {
            if (line.starts_with('#') || line.starts_with("import ") || line.starts_with("import\t"))
                continue;
            const auto path = line.substr(0, line.find_last_not_of(" \t\r\f\v") + 1);
            if (path.empty() || path.find('\0') != std::string_view::npos) continue;
            const fs::path folder = (packages / path).lexically_normal();
            if (fs::is_directory(folder, error)) out.push_back(folder);
        }
    }
    return out;
}

}  // namespace

std::vector<Place> python_places(const fs::path& prefix, const std::string& origin,
                                 bool shares_user_packages) {
    std::vector<Place> out;
    auto settings = venv_settings(prefix);
    if (settings.empty() && shares_user_packages) add_user_packages(out, origin, python_of(prefix));
    out.push_back({prefix, origin});
    if (lower(settings["include-system-site-packages"]) != "true" || settings["home"].empty()) return out;
    const auto python = python_of(prefix);
    add_user_packages(out, origin, python);
    add_installation(out, fs::path(settings["home"]) / "python3", origin + ", system packages", python);
    return out;
}

std::vector<Place> places_of_program(const fs::path& program, const std::string& origin) {
    const fs::path folder = program.parent_path();
    if (is_there(folder.parent_path() / "pyvenv.cfg"))
        return python_places(folder.parent_path(), origin, false);
    std::vector<Place> out;
    const std::string python = version_of_program(program);
    add_user_packages(out, origin, python);
    add_installation(out, program, origin, python);
    return out;
}

std::vector<fs::path> package_folders(const fs::path& prefix, std::string python) {
    if (python.empty()) python = python_of(prefix);
    std::vector<fs::path> out;
    const auto add = [&](const fs::path& packages) {
        if (!is_there(packages)) return;
        out.push_back(packages);
        for (auto& folder : added_by_pth(packages)) {
            if (std::find(out.begin(), out.end(), folder) == out.end()) out.push_back(std::move(folder));
        }
    };
    if (is_of_debian(prefix)) {
        for (const auto& folder : folders_of(prefix / "local/lib", python))
            add(folder / "dist-packages");
        add(prefix / "lib/python3/dist-packages");
        for (const auto& folder : folders_of(prefix / "lib", python)) {
            if (folder.filename() != "python3") add(folder / "dist-packages");
        }
        return out;
    }
    for (const char* lib : {"lib64", "lib"}) {
        for (const auto& folder : folders_of(prefix / lib, python)) {
            add(folder / "site-packages");
            // /usr/local that is named by itself, on Debian.
            if (!is_there(folder / "site-packages")) add(folder / "dist-packages");
        }
    }
    return out;
}

std::vector<fs::path> search_path(const Place& place, const std::vector<Place>& all) {
    int interpreter = place.interpreter;
    if (interpreter == Place::every_python) {
        const auto first = std::find_if(all.begin(), all.end(), [](const Place& one) {
            return one.interpreter > 0 && is_there(one.prefix);
        });
        if (first != all.end()) interpreter = first->interpreter;
    }
    std::vector<fs::path> out;
    if (interpreter == 0) out = package_folders(place.prefix, place.python);
    for (const auto& one : all) {
        if (one.interpreter == Place::every_python) out.push_back(one.prefix);
        if (one.interpreter <= 0 || one.interpreter != interpreter) continue;
        for (auto& folder : package_folders(one.prefix, one.python))
            out.push_back(std::move(folder));
    }
    return out;
}

std::vector<fs::path> packages_with(const fs::path& own, std::vector<fs::path> packages) {
    // .../lib/python3.11/site-packages
    const auto python = [](const fs::path& folder) {
        return minor_version(folder.parent_path().filename().string()).value_or(-1);
    };
    const int its = python(own);
    std::erase_if(packages, [&](const fs::path& folder) {
        return its >= 0 && python(folder) >= 0 && python(folder) != its;
    });
    if (std::find(packages.begin(), packages.end(), own) == packages.end()) packages.push_back(own);
    return packages;
}

std::optional<Distribution> distribution_in(const std::vector<fs::path>& packages, const std::string& name) {
    constexpr std::string_view suffix = ".dist-info";
    std::error_code error;
    for (const auto& folder : packages) {
        for (const auto& entry : fs::directory_iterator(folder, error)) {
            const auto file = entry.path().filename().string();
            if (!file.starts_with(name + "-") || !file.ends_with(suffix)) continue;
            const auto start = name.size() + 1;
            if (file.size() <= start + suffix.size()) continue;
            return Distribution{file.substr(start, file.size() - start - suffix.size()), entry.path()};
        }
    }
    return std::nullopt;
}

std::optional<std::string> package_in(const std::vector<fs::path>& packages, const std::string& name) {
    for (const auto& folder : packages) {
        if (!is_there(folder / name)) continue;
        const auto distribution = distribution_in({folder}, name);
        return name + (distribution ? " " + distribution->version : "") + " (" + (folder / name).string() +
               ")";
    }
    return std::nullopt;
}

}  // namespace kernels::build
