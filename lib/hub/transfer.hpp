// One file over the network.
#pragma once

#include <cstdint>

#include "blob_file.hpp"
#include "kernels/hub/fetch.hpp"
#include "kernels/hub/http.hpp"
#include "kernels/hub/settings.hpp"

namespace kernels::hub {

/// Asks the Hub for the file, for the rest of it where a part is there, and makes it the blob. Gives the
/// bytes that came over the network. Throws what HttpClient::send and IncompleteBlob::commit do, and
/// Error(network) when asking again does not help.
std::uint64_t download(const FileRequest& file, IncompleteBlob& blob, const Settings& settings,
                       HttpClient& http);

}  // namespace kernels::hub
