// Reading TOML tables with messages that say where a mistake is.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/project/project.hpp"

namespace toml {
inline namespace v3 {
class table;
class node;
}  // namespace v3
}  // namespace toml

namespace kernels::project {

/// One table of a document, which must outlive it. Every failure is Error(project_file): "file:line: key:
/// why".
class TableReader {
  public:
    TableReader(const toml::table& table, std::string file, std::string path)
        : m_table(&table), m_file(std::move(file)), m_path(std::move(path)) {}

    bool has(std::string_view key) const;
    std::vector<std::string> keys() const;
    /// Refuses keys that are not in the list.
    void allow(std::initializer_list<std::string_view> keys) const;

    /// The value when it has that type; nothing when the key is absent. The plain forms refuse other types,
    /// the `_if` forms give nothing for them.
    std::optional<std::string> text(std::string_view key) const;
    std::optional<std::int64_t> integer(std::string_view key) const;
    std::optional<std::int64_t> integer_if(std::string_view key) const;
    std::optional<bool> boolean_if(std::string_view key) const;
    std::optional<TableReader> table_if(std::string_view key) const;
    std::string require_text(std::string_view key) const;
    std::vector<std::string> texts(std::string_view key, const std::string& expected) const;
    std::vector<std::int64_t> integers(std::string_view key, const std::string& expected) const;
    std::vector<TableReader> tables(std::string_view key) const;
    AttributeValue scalar(std::string_view key) const;

    std::string path(std::string_view key) const;
    Location location(std::string_view key) const;
    [[noreturn]] void fail(std::string_view key, const std::string& why, const std::string& hint = {}) const;

    /// Runs `make`; an Error of it becomes one about `key`.
    template <typename Make>
    auto checked(std::string_view key, Make make) const {
        try {
            return make();
        } catch (const Error& error) {
            fail(key, error.what(), error.hint());
        }
    }

  private:
    const toml::node* node(std::string_view key) const;
    template <typename T>
    std::vector<T> list(std::string_view key, const std::string& expected, const char* what) const;
    const toml::table* m_table;
    std::string m_file;
    std::string m_path;
};

/// A parsed document. Throws Error(project_file) with line and column when the text is no TOML.
class TomlDocument {
  public:
    TomlDocument(std::string_view text, const std::filesystem::path& file);
    ~TomlDocument();
    TableReader root() const;
    const toml::table& table() const noexcept { return *m_table; }

  private:
    std::unique_ptr<toml::table> m_table;
    std::string m_file;
};

}  // namespace kernels::project
