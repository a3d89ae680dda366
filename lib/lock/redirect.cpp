#include <toml++/toml.h>

#include "kernels/lock/redirect.hpp"

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/text.hpp"

namespace kernels::lock {
namespace {

std::string origin_of(const RepoId& repo, const Commit& commit) {
    return repo.to_string() + "@" + commit.brief() + ": " + status_file;
}

}  // namespace

Dependency parse_redirect(std::string_view text, const std::string& origin) {
    const auto refuse = [&](const std::string& why) {
        return Error(ErrorCode::verification, origin + ": " + why,
                     "this tool knows kind = \"redirect\" with a destination; ask the kernel's publisher");
    };
    toml::table table;
    try {
        table = toml::parse(text, origin);
    } catch (const toml::parse_error& error) {
        throw refuse("not TOML: " + std::string(error.description()));
    }
    const auto kind = table["kind"].value<std::string>();
    if (!kind) throw refuse("it has no kind");
    if (*kind != "redirect") throw refuse("its kind is " + backquoted(*kind));
    const auto destination = table["destination"].value<std::string>();
    if (!destination) throw refuse("it has no destination");
    if (table.contains("revision") && !table["revision"].is_string()) throw refuse("its revision is no text");
    try {
        return {RepoId::parse(*destination), Reference::parse(table["revision"].value_or("main"))};
    } catch (const Error& error) {
        throw refuse(error.what());
    }
}

std::optional<Dependency> redirect_of(const RepoId& repo, const Commit& commit, const hub::Hub& hub) {
    const auto text = hub.small_file(repo, commit, status_file);
    if (!text) return std::nullopt;
    return parse_redirect(*text, origin_of(repo, commit));
}

std::optional<Dependency> redirect_of(const RepoId& repo, const Commit& commit, const hub::Cache& cache) {
    const auto file = cache.find_file(repo, commit, status_file);
    if (!file) return std::nullopt;
    return parse_redirect(read_file(*file), origin_of(repo, commit));
}

std::optional<Dependency> shown_redirect(const RepoId& repo, const Commit& commit, const hub::Hub& hub) {
    try {
        return redirect_of(repo, commit, hub);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::verification) throw;
        log::warning(error.what());
        return std::nullopt;
    }
}

}  // namespace kernels::lock
