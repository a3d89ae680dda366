// Where the rest of an answer in pages is.
#pragma once

#include <optional>
#include <string>

#include "kernels/hub/http.hpp"

namespace kernels::hub {

/// `location`, which may be relative, as a link on the page `base`.
std::string absolute_location(const std::string& base, const std::string& location);

/// The target of the answer's `Link` header with the relation `next` (RFC 8288): of several links, quoted or
/// not, in any case. Nothing when this is the last page.
std::optional<std::string> next_page(const Response& response);

}  // namespace kernels::hub
