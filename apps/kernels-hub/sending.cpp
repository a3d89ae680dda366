#include "sending.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

namespace kernels::hub_server {
namespace {

constexpr std::uint64_t block = std::uint64_t{1} << 18U;

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// A body on its way out. `offset` counts from the start of what is sent.
class Body {
  public:
    Body(Content content, std::uint64_t first, std::uint64_t length, std::optional<Fault> fault)
        : m_content(std::move(content)), m_first(first), m_length(length), m_fault(std::move(fault)) {
        if (m_content.file) m_file.open(*m_content.file, std::ios::binary);
    }

    bool write(std::uint64_t offset, std::uint64_t announced, httplib::DataSink& sink) {
        std::uint64_t count = std::min(block, announced - offset);
        if (is(FaultKind::slow)) {
            const auto rate = std::max<std::uint64_t>(1, m_fault->value_or(65536));
            count = std::min(count, std::max<std::uint64_t>(1, rate / 20));
            const std::chrono::duration<double> due(static_cast<double>(offset + count) /
                                                    static_cast<double>(rate));
            std::this_thread::sleep_until(m_start +
                                          std::chrono::duration_cast<std::chrono::nanoseconds>(due));
        }
        if (is(FaultKind::cut)) {
            const std::uint64_t end = std::min(m_fault->value_or(m_length / 2), announced);
            if (offset >= end) return false;  // httplib closes the connection
            count = std::min(count, end - offset);
        }
        std::string bytes = read(offset, count);
        if (bytes.size() < count) return false;  // the file was changed behind our back
        if (is(FaultKind::flip)) {
            const std::uint64_t at = m_fault->value_or((m_first + m_length) / 2);
            if (at >= m_first + offset && at < m_first + offset + count) bytes[at - m_first - offset] ^= 1;
        }
        if (is(FaultKind::overrun) && offset + count == announced) {
            bytes.append(m_fault->value_or(1), '!');
        }
        return sink.write(bytes.data(), bytes.size());
    }

  private:
    bool is(FaultKind kind) const { return m_fault && m_fault->kind == kind; }

    // `count` bytes from `offset` on; beyond the end (a padded body) it is `!` after `!`.
    std::string read(std::uint64_t offset, std::uint64_t count) {
        const std::uint64_t real = offset < m_length ? std::min(count, m_length - offset) : 0;
        std::string bytes;
        if (m_content.file) {
            bytes.resize(real);
            m_file.clear();
            m_file.seekg(static_cast<std::streamoff>(m_first + offset));
            m_file.read(bytes.data(), static_cast<std::streamsize>(real));
            bytes.resize(static_cast<std::size_t>(m_file.gcount()));
            if (bytes.size() < real) return bytes;
        } else if (real > 0) {
            bytes = m_content.text.substr(m_first + offset, real);
        }
        bytes.append(count - real, '!');
        return bytes;
    }

    Content m_content;
    std::uint64_t m_first;
    std::uint64_t m_length;
    std::optional<Fault> m_fault;
    std::ifstream m_file;
    std::chrono::steady_clock::time_point m_start = std::chrono::steady_clock::now();
};

}  // namespace

std::optional<ByteRange> parse_range(const std::string& header, std::uint64_t size) {
    constexpr std::string_view unit = "bytes=";
    if (!header.starts_with(unit)) return std::nullopt;
    const std::string_view text = std::string_view(header).substr(unit.size());
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto first = number(text.substr(0, dash));
    const auto last = number(text.substr(dash + 1));
    ByteRange range;
    if (first) {
        if (dash + 1 < text.size() && !last) return std::nullopt;
        if (last && *last < *first) return std::nullopt;
        range.first = *first;
        range.last = std::min(last.value_or(size), size == 0 ? 0 : size - 1);
        range.satisfiable = *first < size;
        return range;
    }
    if (dash != 0 || !last) return std::nullopt;
    range.first = size - std::min(*last, size);
    range.last = size == 0 ? 0 : size - 1;
    range.satisfiable = *last > 0 && size > 0;
    return range;
}

void send(const httplib::Request& request, httplib::Response& response, Content content,
          const std::string& type, const std::optional<Fault>& fault) {
    std::uint64_t first = 0;
    std::uint64_t length = content.size;
    const bool ignore_range = fault && fault->kind == FaultKind::ignore_range;
    if (response.status == -1) response.status = 200;
    response.set_header("Accept-Ranges", "bytes");
    if (response.status == 200 && !ignore_range) {
        const auto range = parse_range(request.get_header_value("Range"), content.size);
        if (range && !range->satisfiable) {
            response.status = 416;
            response.set_header("Content-Range", "bytes */" + std::to_string(content.size));
            return;
        }
        if (range) {
            first = range->first;
            length = range->last - range->first + 1;
            response.status = 206;
            response.set_header("Content-Range", "bytes " + std::to_string(first) + "-" +
                                                     std::to_string(range->last) + "/" +
                                                     std::to_string(content.size));
        }
    }
    std::uint64_t announced = length;
    if (fault && fault->kind == FaultKind::truncated) announced -= std::min(announced, fault->value_or(1));
    if (fault && fault->kind == FaultKind::padded) announced += fault->value_or(1);
    if (fault && fault->kind == FaultKind::malformed) announced /= 2;
    if (announced == 0) {
        response.set_content("", type);
        return;
    }
    const auto body = std::make_shared<Body>(std::move(content), first, length, fault);
    response.set_content_provider(
        announced, type, [body, announced](std::size_t offset, std::size_t, httplib::DataSink& sink) {
            return body->write(offset, announced, sink);
        });
}

}  // namespace kernels::hub_server
