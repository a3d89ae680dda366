#include "transfer.hpp"

#include <algorithm>
#include <optional>

#include "backoff.hpp"
#include "kernels/core/log.hpp"
#include "kernels/hub/hub.hpp"

namespace kernels::hub {
namespace {

// Asks for the file until it is there or asking again cannot help; a broken body is continued where it broke.
void transfer(const FileRequest& file, IncompleteBlob& blob, const Settings& settings, HttpClient& http) {
    // A server that cuts again and again is left in the end, though each time some bytes came.
    constexpr int most_breaks = 100;
    constexpr std::uint64_t large_step = std::uint64_t{1} << 20U;
    const std::uint64_t step = std::clamp<std::uint64_t>(file.entry.size / 100, 1, large_step);
    const std::string name = name_of(file);
    Request request;
    request.url = file_url(settings, file);
    request.sink = &blob;
    std::uint64_t furthest = blob.offset();
    int without_progress = 0;
    for (int breaks = 1;; ++breaks) {
        request.headers.clear();
        const std::uint64_t before = blob.offset();
        if (before > 0) request.headers.emplace_back("Range", "bytes=" + std::to_string(before) + "-");
        std::string why;
        try {
            const Response response = http.send(request);
            if (response.status == 416 && before > 0) {
                blob.restart();
                why = name + ": " + url_origin(response.url) + " has no such part of it";
            } else if (response.status != 200 && response.status != 206) {
                throw answer_error(response, name, settings);
            } else if (blob.offset() == file.entry.size) {
                return;
            } else {
                why = name + ": the body ends after " + std::to_string(blob.offset()) + " of " +
                      std::to_string(file.entry.size) + " bytes";
            }
        } catch (const TransferBroken& error) {
            why = name + ": " + error.what();
        }
        // Only what no attempt before had reached is progress: not the same part again, nor a few bytes.
        if (blob.offset() >= furthest + step) {
            furthest = blob.offset();
            without_progress = 0;
        } else if (++without_progress > settings.retries) {
            throw Error(ErrorCode::network, why, "run it again to go on");
        }
        if (breaks == most_breaks) {
            throw Error(ErrorCode::network, why + "; it broke " + std::to_string(breaks) + " times",
                        "run it again to go on");
        }
        pause_before_retry(settings, std::max(0, without_progress - 1), std::nullopt, why);
    }
}

}  // namespace

std::uint64_t download(const FileRequest& file, IncompleteBlob& blob, const Settings& settings,
                       HttpClient& http) {
    const std::uint64_t before = blob.received();
    const bool resumed = blob.offset() > 0;
    // A whole part of an earlier run needs no request but its check.
    if (blob.offset() < file.entry.size || file.entry.size == 0) transfer(file, blob, settings, http);
    try {
        blob.commit();
    } catch (const Error& error) {
        // What an earlier run left may be damaged; commit() dropped it, so fetch the whole file once.
        if (!resumed || error.code() != ErrorCode::verification) throw;
        log::info(std::string(error.what()) + "; fetching the whole file");
        transfer(file, blob, settings, http);
        blob.commit();
    }
    return blob.received() - before;
}

}  // namespace kernels::hub
