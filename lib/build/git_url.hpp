// Where a kernel's source is: URLs of git repositories, as metadata.json has them.
#pragma once

#include <string>
#include <string_view>

namespace kernels::build {

/// The URL written as the Python client writes it: by the WHATWG URL standard, with `git@host:path` as
/// `ssh://git@host/path`. Throws Error(verification) for what is no URL, and for schemes other than https,
/// http, git, ssh, git+ssh, git+https and git+http. Host names that are not ASCII stay as they are.
std::string normalized_git_url(std::string_view text);

}  // namespace kernels::build
