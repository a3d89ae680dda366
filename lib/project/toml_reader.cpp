#include <toml++/toml.h>

#include "toml_reader.hpp"

#include <algorithm>

#include "kernels/core/text.hpp"

namespace kernels::project {
namespace {

// A key as TOML writes it: bare when it may be.
std::string written_key(std::string_view key) {
    const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_';
    });
    return bare ? std::string(key) : "\"" + std::string(key) + "\"";
}

std::string_view type_name(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::table:
            return "a table";
        case toml::node_type::array:
            return "a list";
        case toml::node_type::string:
            return "a text";
        case toml::node_type::integer:
            return "an integer";
        case toml::node_type::floating_point:
            return "a number with a fraction";
        case toml::node_type::boolean:
            return "a boolean";
        default:
            return "a date or time";
    }
}

}  // namespace

const toml::node* TableReader::node(std::string_view key) const {
    return m_table->get(key);
}

bool TableReader::has(std::string_view key) const {
    return node(key) != nullptr;
}

std::vector<std::string> TableReader::keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : *m_table)
        keys.emplace_back(key.str());
    return keys;
}

void TableReader::allow(std::initializer_list<std::string_view> allowed) const {
    const std::vector<std::string> known(allowed.begin(), allowed.end());
    for (const auto& key : keys()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        const auto hint = did_you_mean(key, known);
        fail(key, "there is no such key", hint.empty() ? "keys: " + join(known, ", ") : hint);
    }
}

std::optional<std::string> TableReader::text(std::string_view key) const {
    const auto* value = node(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) fail(key, "is " + std::string(type_name(*value)) + ", not a text");
    return value->as_string()->get();
}

std::optional<std::int64_t> TableReader::integer(std::string_view key) const {
    const auto* value = node(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_integer()) fail(key, "is " + std::string(type_name(*value)) + ", not an integer");
    return value->as_integer()->get();
}

std::optional<std::int64_t> TableReader::integer_if(std::string_view key) const {
    const auto* value = node(key);
    if (value == nullptr || !value->is_integer()) return std::nullopt;
    return value->as_integer()->get();
}

std::optional<bool> TableReader::boolean_if(std::string_view key) const {
    const auto* value = node(key);
    if (value == nullptr || !value->is_boolean()) return std::nullopt;
    return value->as_boolean()->get();
}

std::optional<TableReader> TableReader::table_if(std::string_view key) const {
    const auto* value = node(key);
    if (value == nullptr || !value->is_table()) return std::nullopt;
    return TableReader(*value->as_table(), m_file, path(key));
}

std::string TableReader::require_text(std::string_view key) const {
    auto value = text(key);
    if (!value) fail(key, "is missing");
    if (value->empty()) fail(key, "is empty");
    return std::move(*value);
}

template <typename T>
std::vector<T> TableReader::list(std::string_view key, const std::string& expected, const char* what) const {
    const auto* value = node(key);
    std::vector<T> out;
    if (value == nullptr) return out;
    const std::string wrong = "is " + std::string(type_name(*value)) + ", not " + expected;
    if (!value->is_array()) fail(key, wrong);
    for (const auto& item : *value->as_array()) {
        const auto* one = item.as<T>();
        if (one == nullptr) fail(key, "holds " + std::string(type_name(item)) + ", not only " + what);
        out.push_back(one->get());
    }
    return out;
}

std::vector<std::string> TableReader::texts(std::string_view key, const std::string& expected) const {
    return list<std::string>(key, expected, "texts");
}

std::vector<std::int64_t> TableReader::integers(std::string_view key, const std::string& expected) const {
    return list<std::int64_t>(key, expected, "whole numbers");
}

std::vector<TableReader> TableReader::tables(std::string_view key) const {
    const auto* value = node(key);
    std::vector<TableReader> out;
    if (value == nullptr) return out;
    if (!value->is_array()) fail(key, "is no list of tables", "write [[" + path(key) + "]]");
    std::size_t index = 0;
    for (const auto& item : *value->as_array()) {
        if (!item.is_table())
            fail(key, "holds " + std::string(type_name(item)), "write [[" + path(key) + "]]");
        out.emplace_back(*item.as_table(), m_file, path(key) + "[" + std::to_string(index++) + "]");
    }
    return out;
}

AttributeValue TableReader::scalar(std::string_view key) const {
    const auto& value = *node(key);
    if (value.is_boolean()) return value.as_boolean()->get();
    if (value.is_integer()) return value.as_integer()->get();
    if (value.is_floating_point()) return value.as_floating_point()->get();
    if (value.is_string()) return value.as_string()->get();
    fail(key, "is " + std::string(type_name(value)) + ", not a number, a text or a boolean");
}

std::string TableReader::path(std::string_view key) const {
    if (key.empty()) return m_path;
    return (m_path.empty() ? "" : m_path + ".") + written_key(key);
}

Location TableReader::location(std::string_view key) const {
    const auto* value = key.empty() ? nullptr : node(key);
    const auto& source = value != nullptr ? value->source() : m_table->source();
    return {m_file, source.begin.line, path(key)};
}

void TableReader::fail(std::string_view key, const std::string& why, const std::string& hint) const {
    throw Error(ErrorCode::project_file, location(key).to_string() + ": " + why, hint);
}

TomlDocument::TomlDocument(std::string_view text, const std::filesystem::path& file) : m_file(file.string()) {
    try {
        m_table = std::make_unique<toml::table>(toml::parse(text, m_file));
    } catch (const toml::parse_error& error) {
        const auto& at = error.source().begin;
        throw Error(ErrorCode::project_file, m_file + ":" + std::to_string(at.line) + ":" +
                                                 std::to_string(at.column) +
                                                 ": not TOML: " + std::string(error.description()));
    }
}

TomlDocument::~TomlDocument() = default;

TableReader TomlDocument::root() const {
    return {*m_table, m_file, ""};
}

}  // namespace kernels::project
