// Misbehaviour on purpose, for tests of clients: which request is answered wrongly, and how.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::hub_server {

enum class FaultKind {
    cut,          ///< the whole length is announced, the connection closes after VALUE bytes (default: half)
    truncated,    ///< a well-formed answer whose body lacks its last VALUE bytes (default 1)
    padded,       ///< a well-formed answer with VALUE bytes too many (default 1)
    overrun,      ///< VALUE bytes more than announced are sent (default 1)
    flip,         ///< the byte at VALUE is flipped (default: the middle one)
    status,       ///< status VALUE (default 503), without a body
    retry_after,  ///< 429 with `Retry-After: VALUE` (default 1)
    retry_after_date,  ///< 429 with a `Retry-After` date VALUE seconds (default 1) behind `Date`, which is
                       ///< 2001
    stall,             ///< nothing for VALUE seconds (default 60), then the right answer
    slow,              ///< the body with VALUE bytes a second (default 65536)
    redirect_loop,     ///< a redirect to the same place
    redirect_away,     ///< a redirect to the same path under the machine's other loopback name
    malformed,         ///< half of the JSON document
    ignore_range,      ///< the whole file with 200, whatever range was asked for
    tree_dotdot,       ///< a listing with an entry `../outside.txt`
    tree_absolute,     ///< … `/tmp/outside.txt`
    tree_nul,          ///< … with a NUL in its name
    tree_long,         ///< … with a name of 5,000 characters
    tree_symlink,      ///< … of the type `symlink`
};

/// `KIND[=VALUE]:GLOB[:COUNT]`: the first COUNT requests (default: all) whose path matches GLOB. The path is
/// the decoded one without the query; that of an LFS file's content is `/_cdn/<org>/<name>/<sha256>/<file>`.
struct Fault {
    FaultKind kind = FaultKind::cut;
    std::optional<std::uint64_t> value;
    std::string glob;
    std::int64_t left = -1;  ///< requests that it still applies to; negative: no end

    /// Throws Error(usage).
    static Fault parse(std::string_view text);
    std::uint64_t value_or(std::uint64_t fallback) const { return value.value_or(fallback); }
};

/// One line a kind for `--help`.
std::string describe_faults();

/// The faults that are left. Thread-safe.
class Faults {
  public:
    explicit Faults(std::vector<Fault> faults) : m_faults(std::move(faults)) {}
    /// The first fault that applies to a request of `path`, counted as used. HEAD requests only meet the
    /// kinds that change more than a body.
    std::optional<Fault> take(const std::string& path, bool head);

  private:
    std::mutex m_mutex;
    std::vector<Fault> m_faults;
};

}  // namespace kernels::hub_server
