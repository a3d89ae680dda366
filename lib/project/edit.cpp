#include <toml++/toml.h>

#include "kernels/project/edit.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "toml_reader.hpp"

namespace kernels::project {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> path_of_table(const fs::path& file) {
    if (file.filename() == "pyproject.toml") return {"tool", "kernels", "dependencies"};
    return {"dependencies"};
}

std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

// `version = 1`, as a table has it.
std::string member_text(const Reference& reference) {
    if (const auto* revision = reference.revision()) return "revision = " + toml_string(revision->name());
    return "version = " + std::to_string(reference.version()->number);
}

// The Python client reads a version as a number only.
std::string value_text(const Reference& reference) {
    if (reference.revision() != nullptr) return "{ " + member_text(reference) + " }";
    return std::to_string(reference.version()->number);
}

// A text and where the parser's lines and columns are in it.
class Text {
  public:
    Text(std::string_view text, const fs::path& file)
        : m_text(text),
          m_document(text, file),
          m_newline(text.find("\r\n") == std::string_view::npos ? "\n" : "\r\n") {
        m_lines.push_back(0);
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] == '\n') m_lines.push_back(i + 1);
        }
    }

    const std::string& text() const noexcept { return m_text; }
    const std::string& newline() const noexcept { return m_newline; }
    const toml::table& root() const noexcept { return m_document.table(); }

    // Columns count characters, not bytes.
    std::size_t offset(const toml::source_position& position) const {
        std::size_t at = m_lines.at(position.line - 1);
        for (std::uint32_t column = 1; column < position.column && at < m_text.size(); ++column) {
            ++at;
            while (at < m_text.size() && (static_cast<unsigned char>(m_text[at]) & 0xC0U) == 0x80U)
                ++at;
        }
        return at;
    }
    std::size_t line_begin(std::size_t at) const {
        const auto before = m_text.rfind('\n', at == 0 ? std::string::npos : at - 1);
        return at == 0 || before == std::string::npos ? 0 : before + 1;
    }
    // Behind the line's end, or the text's.
    std::size_t line_end(std::size_t at) const {
        const auto end = m_text.find('\n', at);
        return end == std::string::npos ? m_text.size() : end + 1;
    }
    std::string replaced(std::size_t begin, std::size_t end, const std::string& by) const {
        return m_text.substr(0, begin) + by + m_text.substr(end);
    }

  private:
    std::string m_text;
    TomlDocument m_document;
    std::string m_newline;
    std::vector<std::size_t> m_lines;
};

// One dependency and where it is written.
struct Entry {
    std::string name;
    std::size_t begin;  // of its key
    std::size_t value;  // of its value
    std::size_t end;    // of its value
    bool is_section;    // a [table] of its own
    bool is_dotted;     // "org/name".version = 1
    // Of those two, what they say: `version = 1` or `revision = "main"`.
    std::size_t member_begin = 0;
    std::size_t member_end = 0;
    bool has_version = false;
};

std::size_t end_of(const Text& text, const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr || table->is_inline()) return text.offset(node.source().end);
    std::size_t end = text.offset(node.source().end);
    for (const auto& [key, value] : *table)
        end = std::max(end, end_of(text, value));
    return end;
}

std::vector<Entry> entries_of(const Text& text, const toml::table& table) {
    std::vector<Entry> entries;
    for (const auto& [key, node] : table) {
        const std::size_t value = text.offset(node.source().begin);
        const auto* nested = node.as_table();
        const bool written_out = nested != nullptr && !nested->is_inline();
        const bool section = written_out && text.text()[value] == '[';
        entries.push_back({std::string(key.str()), section ? value : text.offset(key.source().begin), value,
                           end_of(text, node), section, written_out && !section});
        if (!written_out || nested->size() != 1) continue;
        const auto member = nested->begin();
        entries.back().member_begin = text.offset(member->first.source().begin);
        entries.back().member_end = end_of(text, member->second);
        entries.back().has_version = member->first.str() == "version";
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
    return entries;
}

// The dependencies as the text has them; `table` is nullptr when there is no such table.
struct Dependencies {
    const toml::table* table = nullptr;
    const toml::key* key = nullptr;
    std::vector<Entry> entries;

    const Entry* find(const RepoId& repo) const {
        const auto found = std::find_if(entries.begin(), entries.end(),
                                        [&](const Entry& entry) { return entry.name == repo.to_string(); });
        return found == entries.end() ? nullptr : &*found;
    }
};

Dependencies dependencies_in(const Text& text, const fs::path& file) {
    Dependencies found;
    const toml::table* table = &text.root();
    for (const auto& name : path_of_table(file)) {
        const auto next = table->find(name);
        if (next == table->end() || !next->second.is_table()) return {};
        found.key = &next->first;
        table = next->second.as_table();
    }
    found.table = table;
    found.entries = entries_of(text, *table);
    return found;
}

// Whether the table has a [header] of its own; a [header."org/name"] alone only implies it.
bool has_header(const Text& text, const Dependencies& dependencies) {
    const std::size_t begin = text.offset(dependencies.table->source().begin);
    if (text.text()[begin] != '[') return false;
    const auto behind = text.text().find_first_not_of(" \t", text.offset(dependencies.key->source().end));
    return behind != std::string::npos && text.text()[behind] == ']';
}

std::string with_line_behind(const Text& text, std::size_t at, const std::string& line) {
    const std::size_t end = text.line_end(at);
    const bool open = end == text.text().size() && !text.text().ends_with('\n');
    return text.replaced(end, end, (open ? text.newline() : "") + line + text.newline());
}

// With the dependencies' table, empty, at the end.
std::string with_header(const Text& text, const fs::path& file) {
    const std::string header = "[" + join(path_of_table(file), ".") + "]";
    const std::string& all = text.text();
    const std::string gap = all.empty() ? "" : (all.ends_with('\n') ? "" : text.newline()) + text.newline();
    return all + gap + header + text.newline();
}

std::string with_new_entry(const Text& text, const fs::path& file, const Dependencies& dependencies,
                           const std::string& entry) {
    if (dependencies.table != nullptr && dependencies.table->is_inline()) {
        if (!dependencies.entries.empty()) {
            const std::size_t end = dependencies.entries.back().end;
            return text.replaced(end, end, ", " + entry);
        }
        const auto source = dependencies.table->source();
        return text.replaced(text.offset(source.begin), text.offset(source.end), "{ " + entry + " }");
    }
    // Behind the last line of the table, written as that line is: its indentation, its dotted keys.
    const Entry* last = nullptr;
    for (const auto& known : dependencies.entries) {
        if (!known.is_section) last = &known;
    }
    if (last != nullptr) {
        const std::size_t begin = text.line_begin(last->begin);
        return with_line_behind(text, last->end - 1, text.text().substr(begin, last->begin - begin) + entry);
    }
    if (dependencies.table != nullptr && has_header(text, dependencies))
        return with_line_behind(text, text.offset(dependencies.table->source().begin), entry);
    return with_header(text, file) + entry + text.newline();
}

std::string without_entry(const Text& text, const Dependencies& dependencies, const Entry& entry) {
    if (dependencies.table->is_inline()) {
        const auto at = static_cast<std::size_t>(&entry - dependencies.entries.data());
        const bool is_last = at + 1 == dependencies.entries.size();
        if (!is_last) return text.replaced(entry.begin, dependencies.entries[at + 1].begin, "");
        return text.replaced(at == 0 ? entry.begin : dependencies.entries[at - 1].end, entry.end, "");
    }
    std::size_t end = text.line_end(std::max(entry.end, entry.begin + 1) - 1);
    if (entry.is_section) {
        // Its blank lines and comments go with it, up to the next section.
        while (end < text.text().size()) {
            const auto first = text.text().find_first_not_of(" \t", end);
            if (first == std::string::npos || text.text()[first] == '[' || text.text()[first] == '#') break;
            end = text.line_end(end);
        }
    }
    return text.replaced(text.line_begin(entry.begin), end, "");
}

// What the document has to be afterwards; nothing in `reference` removes the entry.
toml::table expected(const toml::table& before, const fs::path& file, const RepoId& repo,
                     const std::optional<Reference>& reference) {
    toml::table after = before;
    toml::table* table = &after;
    for (const auto& name : path_of_table(file)) {
        if (!table->contains(name)) table->insert(name, toml::table());
        table = table->get(name)->as_table();
        if (table == nullptr) return after;
    }
    table->erase(repo.to_string());
    if (!reference) return after;
    const auto* version = reference->version();
    if (version != nullptr) {
        table->insert(repo.to_string(), version->number);
    } else {
        table->insert(repo.to_string(), toml::table{{"revision", reference->revision()->name()}});
    }
    return after;
}

// Different spellings of the same: `{ version = 1 }` is `1`, and an empty table is none.
toml::table simplified(toml::table document, const fs::path& file, const RepoId& repo) {
    std::vector<toml::table*> tables{&document};
    const auto path = path_of_table(file);
    for (const auto& name : path) {
        auto* next = tables.back()->contains(name) ? tables.back()->get(name)->as_table() : nullptr;
        if (next == nullptr) break;
        tables.push_back(next);
    }
    if (tables.size() > path.size()) {
        toml::table& dependencies = *tables.back();
        const auto* entry = dependencies.get_as<toml::table>(repo.to_string());
        if (entry != nullptr && entry->size() == 1) {
            if (const auto version = (*entry)["version"].value<std::int64_t>())
                dependencies.insert_or_assign(repo.to_string(), *version);
        }
    }
    for (std::size_t depth = tables.size() - 1; depth > 0 && tables[depth]->empty(); --depth)
        tables[depth - 1]->erase(path[depth - 1]);
    return document;
}

// The last word on every edit: nothing but the one entry may have changed.
std::string checked(const Text& before, std::string after, const fs::path& file, const RepoId& repo,
                    const std::optional<Reference>& reference) {
    bool right = false;
    try {
        right = simplified(TomlDocument(after, file).table(), file, repo) ==
                simplified(expected(before.root(), file, repo, reference), file, repo);
    } catch (const Error&) {
        right = false;
    }
    if (right) return after;
    throw Error(ErrorCode::project_file,
                file.string() + ": its dependencies are written in a way that cannot be changed here",
                reference ? "write " + toml_string(repo.to_string()) + " = " + value_text(*reference) +
                                " into [" + join(path_of_table(file), ".") + "] by hand"
                          : "remove " + toml_string(repo.to_string()) + " by hand");
}

}  // namespace

std::string with_dependency(std::string_view text, const fs::path& file, const Dependency& dependency) {
    const Text before(text, file);
    const RepoId& repo = dependency.repo;
    const auto dependencies = dependencies_in(before, file);
    const auto* entry = dependencies.find(repo);
    if (entry == nullptr) {
        const std::string line = toml_string(repo.to_string()) + " = " + value_text(dependency.reference);
        return checked(before, with_new_entry(before, file, dependencies, line), file, repo,
                       dependency.reference);
    }
    if (entry->is_section || entry->is_dotted) {
        // A table with a version stops the Python client, so a revision does not become one in its place.
        const bool stays =
            entry->member_end > 0 && (entry->has_version || dependency.reference.revision() != nullptr);
        if (!stays) return with_dependency(without_dependency(text, file, repo), file, dependency);
        return checked(
            before,
            before.replaced(entry->member_begin, entry->member_end, member_text(dependency.reference)), file,
            repo, dependency.reference);
    }
    return checked(before, before.replaced(entry->value, entry->end, value_text(dependency.reference)), file,
                   repo, dependency.reference);
}

std::string without_dependency(std::string_view text, const fs::path& file, const RepoId& repo) {
    const Text before(text, file);
    const auto dependencies = dependencies_in(before, file);
    const auto* entry = dependencies.find(repo);
    if (entry == nullptr) {
        std::vector<std::string> names;
        for (const auto& known : dependencies.entries)
            names.push_back(known.name);
        throw Error(ErrorCode::not_found, file.string() + ": " + repo.to_string() + " is no dependency of it",
                    did_you_mean(repo.to_string(), names));
    }
    auto after = checked(before, without_entry(before, dependencies, *entry), file, repo, std::nullopt);
    const Text rest(after, file);
    if (dependencies_in(rest, file).table != nullptr) return after;
    // Written as "dependencies.entry", the table went with its last entry; without it the project would not
    // say that it needs nothing.
    return checked(before, with_header(rest, file), file, repo, std::nullopt);
}

}  // namespace kernels::project
