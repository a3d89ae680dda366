#include "kernels/project/project.hpp"

#include <algorithm>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "toml_reader.hpp"

namespace kernels::project {
namespace {

namespace fs = std::filesystem;

Reference parse_reference(const TableReader& table) {
    const auto version = table.integer("version");
    const auto revision = table.text("revision");
    if (version && revision)
        table.fail("revision", "stands beside a version, which names a commit too", "remove one of the two");
    if (!version && !revision)
        table.fail("", "needs a version or a revision", "write { version = 1 } or { revision = \"main\" }");
    if (version) {
        if (*version < 0) table.fail("version", "must not be negative");
        return KernelVersion{*version};
    }
    return table.checked("revision", [&]() -> Reference { return Revision(*revision); });
}

RepoId parse_repo(const TableReader& table, const std::string& key, std::string_view text) {
    return table.checked(key, [&] { return RepoId::parse(text); });
}

std::vector<Dependency> parse_dependencies(const TableReader& table) {
    std::vector<Dependency> dependencies;
    for (const auto& key : table.keys()) {
        const RepoId repo = parse_repo(table, key, key);
        if (const auto nested = table.table_if(key)) {
            nested->allow({"version", "revision"});
            dependencies.push_back({repo, parse_reference(*nested)});
        } else if (const auto version = table.integer_if(key)) {
            if (*version < 0) table.fail(key, "a version must not be negative");
            dependencies.push_back({repo, KernelVersion{*version}});
        } else {
            table.fail(key, "is neither a version number nor a table",
                       "write \"" + key + "\" = 1, or = { revision = \"main\" }");
        }
    }
    return dependencies;
}

std::optional<TrustPolicy> parse_trust(const TableReader& table) {
    if (!table.has("trust-remote-code")) return std::nullopt;
    TrustPolicy trust;
    if (const auto flag = table.boolean_if("trust-remote-code")) {
        trust.everyone = *flag;
        return trust;
    }
    trust.is_list = true;
    for (const auto& name : table.texts("trust-remote-code", "true, false or a list of repositories")) {
        trust.repositories.push_back(parse_repo(table, "trust-remote-code", name));
    }
    return trust;
}

// Nothing may look verified that is not.
void refuse_signatures(const TableReader& table) {
    if (!table.has("require-signature") || table.boolean_if("require-signature") == false) return;
    table.fail("require-signature", "signatures cannot be verified by this version",
               "remove it, or write false: digests in kernels.sum and trust-remote-code are checked");
}

int capability(const TableReader& table, const char* key, std::int64_t value) {
    if (value < 0 || value > 9999)
        table.fail(key, "is no capability", "compute capability 8.0 is written 80");
    return static_cast<int>(value);
}

LayerEntry parse_layer(const TableReader& table, const fs::path& folder) {
    table.allow({"name", "device", "mode", "repo", "version", "revision", "lock", "path", "layer", "func",
                 "trust-remote-code"});
    LayerEntry entry;
    entry.where = table.location("");
    for (const auto& key : table.keys())
        entry.lines[key] = table.location(key).line;
    entry.name = table.require_text("name");
    if (const auto device = table.table_if("device")) {
        device->allow({"type", "min-capability", "max-capability"});
        for (const auto& key : device->keys())
            entry.lines["device." + key] = device->location(key).line;
        entry.device = device->require_text("type");
        if (const auto value = device->integer("min-capability")) {
            entry.min_capability = capability(*device, "min-capability", *value);
        }
        if (const auto value = device->integer("max-capability")) {
            entry.max_capability = capability(*device, "max-capability", *value);
        }
    } else {
        entry.device = table.require_text("device");
    }
    entry.mode = table.text("mode").value_or("");
    const auto repo = table.text("repo");
    const auto path = table.text("path");
    if (repo) entry.repo = parse_repo(table, "repo", *repo);
    const auto lock = table.text("lock");
    const bool has_reference = table.has("version") || table.has("revision");
    if (path && (repo || has_reference || lock)) {
        table.fail("path", "stands alone: a local kernel has no repository, version, revision or lock");
    }
    if (lock && has_reference) {
        table.fail("lock", "stands instead of a version or revision: it names the commit");
    }
    if (path) {
        entry.source = folder / expand_user(*path);
    } else if (!repo) {
        table.fail("", "needs a kernel repository", "add repo = \"org/name\" or path = \"../local/kernel\"");
    } else if (has_reference) {
        entry.source = parse_reference(table);
    } else if (lock) {
        entry.source = LockedSource{folder / expand_user(*lock)};
    }
    entry.layer = table.text("layer").value_or("");
    entry.func = table.text("func").value_or("");
    if (!entry.layer.empty() && !entry.func.empty()) {
        table.fail("func", "stands beside a layer: an entry is for a class or for a function",
                   "remove one of the two");
    }
    if (entry.layer.empty() && entry.func.empty()) {
        table.fail("", "needs a layer or a func",
                   "add layer = \"the class in the kernel repository\", or func = \"the function\"");
    }
    entry.trust = parse_trust(table);
    if (entry.trust && path) {
        table.fail("trust-remote-code", "is not for a local kernel", "a path is trusted as it is");
    }
    return entry;
}

std::map<std::string, AttributeValue> parse_scalars(const TableReader& table, const char* key) {
    std::map<std::string, AttributeValue> values;
    if (const auto inner = table.table_if(key)) {
        for (const auto& name : inner->keys())
            values.emplace(name, inner->scalar(name));
    } else if (table.has(key)) {
        table.fail(key, "is not a table");
    }
    return values;
}

// Numbers from 0 on, none twice.
std::vector<std::int64_t> parse_results(const TableReader& table) {
    auto results = table.integers("results", "a list of numbers");
    auto sorted = results;
    std::sort(sorted.begin(), sorted.end());
    const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
    if (sorted.empty() || sorted.front() < 0 || twice) {
        table.fail("results", "is no list of the kernel's results by their numbers from 0, each once at most",
                   "write results = [1, 0] where the traced code returns the second one first, results = [1] "
                   "where it returns the second one alone");
    }
    return results;
}

Binding parse_binding(const TableReader& table, const fs::path& folder) {
    table.allow({"layer", "class", "module", "attributes", "arguments", "results", "pattern", "when"});
    Binding binding;
    binding.where = table.location("");
    binding.layer = table.require_text("layer");
    binding.class_glob = table.text("class");
    binding.module_glob = table.text("module");
    if (!binding.class_glob && !binding.module_glob) {
        table.fail("", "needs a class or a module",
                   "add class = \"*.LlamaRMSNorm\" or module = \"model.layers.*.norm\"");
    }
    if (table.has("arguments")) binding.arguments = table.texts("arguments", "a list of names");
    if (table.has("results")) binding.results = parse_results(table);
    if (const auto pattern = table.text("pattern")) binding.pattern = folder / expand_user(*pattern);
    binding.attributes = parse_scalars(table, "attributes");
    binding.when = parse_scalars(table, "when");
    if (binding.pattern && table.has("when")) {
        table.fail("when", "does not go with a pattern: what is found by its form has no attributes",
                   "remove one of the two; class and module say which layers of the pattern's file count");
    }
    if (binding.pattern && table.has("results")) {
        table.fail("results",
                   "does not go with a pattern: its layers give the kernel's results in their order",
                   "remove one of the two");
    }
    return binding;
}

Project parse_table(const TableReader& table, const fs::path& file) {
    table.allow({"dependencies", "trust-remote-code", "require-signature", "layers", "bindings"});
    refuse_signatures(table);
    Project project;
    project.file = file;
    project.folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    if (const auto dependencies = table.table_if("dependencies")) {
        project.dependencies = parse_dependencies(*dependencies);
    } else if (table.has("dependencies")) {
        table.fail("dependencies", "is not a table", "write [" + table.path("dependencies") + "]");
    }
    project.trust = parse_trust(table).value_or(TrustPolicy{});
    for (const auto& entry : table.tables("layers"))
        project.layers.push_back(parse_layer(entry, project.folder));
    for (const auto& entry : table.tables("bindings"))
        project.bindings.push_back(parse_binding(entry, project.folder));
    return project;
}

bool is_pyproject(const fs::path& file) {
    return file.filename() == "pyproject.toml";
}

// The project file of exactly this folder.
std::optional<Project> find_in(const fs::path& folder) {
    const fs::path own = folder / "kernels.toml";
    const fs::path python = folder / "pyproject.toml";
    std::optional<Project> from_own;
    if (const auto text = read_file_if_exists(own)) from_own = parse(*text, own);
    if (const auto text = read_file_if_exists(python)) {
        const TomlDocument document(*text, python);
        const auto tool = document.root().table_if("tool");
        const auto table = tool ? tool->table_if("kernels") : std::nullopt;
        if (table && from_own) {
            throw Error(ErrorCode::project_file,
                        own.string() + ": " + python.string() + " has [tool.kernels] as well",
                        "keep one of the two");
        }
        if (table) return parse_table(*table, python);
    }
    return from_own;
}

// A folder and those above it. The first stays as short as the user wrote it.
std::vector<fs::path> upwards(const fs::path& start) {
    std::vector<fs::path> folders{start};
    std::error_code error;
    fs::path folder = fs::absolute(start, error).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    while (folder.has_parent_path() && folder.parent_path() != folder) {
        folder = folder.parent_path();
        folders.push_back(folder);
    }
    return folders;
}

}  // namespace

bool Binding::names(const std::string& class_name, const std::string& module_path) const {
    if (module_glob && !glob_match(*module_glob, module_path)) return false;
    if (!class_glob || glob_match(*class_glob, class_name)) return true;
    return class_glob->find('.') == std::string::npos &&
           glob_match(*class_glob, class_name.substr(class_name.rfind('.') + 1));
}

TrustPolicy::TrustPolicy(std::initializer_list<std::string_view> only_these) : is_list(true) {
    for (const auto name : only_these)
        repositories.push_back(RepoId::parse(name));
}

bool TrustPolicy::allows(const RepoId& repo) const noexcept {
    return everyone || std::find(repositories.begin(), repositories.end(), repo) != repositories.end();
}

Location LayerEntry::location_of(const std::string& key) const {
    const auto line = lines.find(key);
    return {where.file, line != lines.end() ? line->second : where.line, where.key + "." + key};
}

std::string Location::to_string() const {
    return file + ":" + std::to_string(line) + (key.empty() ? std::string() : ": " + key);
}

TrustPolicy Project::lock_trust() const {
    TrustPolicy policy = trust;
    for (const auto& entry : layers) {
        const auto* source = std::get_if<LockedSource>(&entry.source);
        const bool locked_here = source != nullptr && !source->file;
        if (locked_here && entry.repo && entry.trust && entry.trust->allows(*entry.repo))
            policy.repositories.push_back(*entry.repo);
    }
    return policy;
}

const std::vector<Dependency>& Project::require_dependencies() const {
    const std::string prefix = is_pyproject(file) ? "tool.kernels." : "";
    if (!dependencies) {
        throw Error(ErrorCode::project_file,
                    file.string() + ": there is no table [" + prefix + "dependencies]",
                    "add it, with a line such as \"kernels-community/activation\" = 1");
    }
    return *dependencies;
}

Project parse(std::string_view text, const fs::path& file) {
    const TomlDocument document(text, file);
    if (!is_pyproject(file)) return parse_table(document.root(), file);
    const auto tool = document.root().table_if("tool");
    const auto table = tool ? tool->table_if("kernels") : std::nullopt;
    if (!table) throw Error(ErrorCode::project_file, file.string() + ": there is no [tool.kernels]");
    return parse_table(*table, file);
}

std::optional<Project> find(const fs::path& start) {
    std::error_code error;
    if (!fs::is_directory(start, error)) {
        throw Error(ErrorCode::project_file, start.string() + ": no such folder",
                    "name the folder of a project");
    }
    for (const auto& folder : upwards(start)) {
        if (auto project = find_in(folder)) return project;
    }
    return std::nullopt;
}

fs::path folder_of(const fs::path& start) {
    for (const auto& folder : upwards(start)) {
        try {
            if (find_in(folder)) return folder;
        } catch (const Error&) {
            return folder;
        }
    }
    return start;
}

Project load(const fs::path& start) {
    auto project = find(start);
    if (!project) {
        throw Error(ErrorCode::project_file,
                    start.string() +
                        ": no project file: neither kernels.toml nor a pyproject.toml with [tool.kernels], "
                        "here or above",
                    "write a kernels.toml with [dependencies], or name the project's folder");
    }
    return std::move(*project);
}

}  // namespace kernels::project
