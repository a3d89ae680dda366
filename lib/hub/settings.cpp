#include "kernels/hub/settings.hpp"

#include <sys/utsname.h>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/places.hpp"
#include "kernels/core/text.hpp"
#include "kernels/hub/http.hpp"

namespace kernels::hub {
namespace {

namespace fs = std::filesystem;

// A token is one line of visible ASCII; anything else would break the header.
std::optional<Secret> usable_token(std::string_view text, const std::string& origin) {
    const auto token = trimmed(text);
    if (token.empty()) return std::nullopt;
    for (const char c : token) {
        if (c <= ' ' || c > '~') {
            throw Error(ErrorCode::usage, origin + ": the token holds a character that no token has",
                        "log in again, or unset it");
        }
    }
    return Secret(std::string(token));
}

}  // namespace

std::string user_agent(const std::string& torch, const std::string& backend) {
    for (const char* name : {"HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"}) {
        if (environment_flag(name)) return {};
    }
    std::string agent = "kernels/" KERNELS_VERSION;
    if (!torch.empty()) agent += "; torch/" + torch;
    if (!backend.empty()) agent += "; backend/" + backend;
    utsname system{};
    if (::uname(&system) == 0) {
        agent += std::string("; platform/") + system.machine + "-" + lower(system.sysname);
    }
    return agent + "; file_type/kernel";
}

std::string checked_endpoint(std::string url, const std::string& origin) {
    while (url.ends_with('/'))
        url.pop_back();
    const auto host = url.starts_with("http://") ? 7U : url.starts_with("https://") ? 8U : url.size();
    if (host >= url.size() || std::string_view("/:@?#").find(url[host]) != std::string_view::npos) {
        throw Error(ErrorCode::usage,
                    origin + ": " + backquoted(printable_url(url)) + " is no http or https URL");
    }
    if (url.find_first_of("?#") != std::string::npos) {
        throw Error(ErrorCode::usage, origin + ": " + backquoted(printable_url(url)) +
                                          " has a query or a fragment, to which no path can be added");
    }
    return url;
}

Settings settings_from_environment() {
    Settings settings;
    settings.endpoint = checked_endpoint(
        environment_variable("HF_ENDPOINT").value_or("https://huggingface.co"), "HF_ENDPOINT");
    // As huggingface_hub: then no token at all, for none is given by other means.
    const bool is_wanted = !environment_flag("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
        const auto token = environment_variable(name);
        if (!token || settings.token || !is_wanted) continue;
        settings.token = usable_token(*token, name);
        settings.token_origin = name;
    }
    if (!settings.token && is_wanted) {
        const auto named = environment_variable("HF_TOKEN_PATH");
        const fs::path file = named ? expand_variables(*named) : hugging_face_home() / "token";
        // A token file that cannot be read is as good as none: public repositories need no token.
        try {
            if (const auto text = read_file_if_exists(file))
                settings.token = usable_token(*text, file.string());
        } catch (const Error& error) {
            if (error.code() == ErrorCode::usage) throw;
        }
        settings.token_origin = settings.token ? file.string() : std::string();
    }
    settings.cache = hub_cache_folder();
    settings.offline = environment_flag("HF_HUB_OFFLINE") || environment_flag("TRANSFORMERS_OFFLINE");
    settings.user_agent = [] { return user_agent(); };
    return settings;
}

}  // namespace kernels::hub
