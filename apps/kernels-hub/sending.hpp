// Bodies: a file or a text, a range of it, and what a fault does to it.
#pragma once

#include <httplib.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "faults.hpp"

namespace kernels::hub_server {

/// What a body is made of: a file, or the text itself.
struct Content {
    std::optional<std::filesystem::path> file;
    std::string text;
    std::uint64_t size = 0;

    static Content of_file(std::filesystem::path path, std::uint64_t size) {
        return {std::move(path), {}, size};
    }
    static Content of_text(std::string text) {
        const auto size = text.size();
        return {std::nullopt, std::move(text), size};
    }
};

/// The first and the last byte that a `Range` header asks for; `satisfiable` is false for a range beyond the
/// end.
struct ByteRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    bool satisfiable = true;
};

/// One range (`bytes=a-b`, `bytes=a-`, `bytes=-n`); nothing for other forms, which a server may ignore.
std::optional<ByteRange> parse_range(const std::string& header, std::uint64_t size);

/// Makes `content` the body of `response`, or the part of it that `range` names (then with 206), spoilt as
/// `fault` says.
void send(const httplib::Request& request, httplib::Response& response, Content content,
          const std::string& type, const std::optional<Fault>& fault);

}  // namespace kernels::hub_server
