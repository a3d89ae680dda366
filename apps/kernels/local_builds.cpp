#include "local_builds.hpp"

#include <algorithm>

#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/log.hpp"
#include "kernels/core/places.hpp"

namespace kernels::app {

namespace fs = std::filesystem;

std::optional<fs::path> local_folder(const std::string& name) {
    std::error_code ignored;
    if (fs::is_directory(name, ignored)) return name;
    return local_kernel_folder(RepoId::parse(name));
}

std::string printed_path(const fs::path& given) {
    fs::path folder;
    for (const auto& part : given) {
        if (!part.empty() && part != ".") folder /= part;
    }
    return folder.empty() ? "." : folder.string();
}

std::optional<build::Metadata> metadata_of(const std::string& text, const std::string& origin) {
    try {
        return build::Metadata::parse(text, origin);
    } catch (const Error& error) {
        log::warning(error.what());
        return std::nullopt;
    }
}

std::vector<LocalBuild> local_builds(const fs::path& folder) {
    std::vector<LocalBuild> builds;
    for (auto& variant : build::variants_in(folder / "build")) {
        const fs::path place = folder / "build" / variant.to_string();
        LocalBuild build{std::move(variant), {}, place};
        const auto file = place / "metadata.json";
        if (const auto text = read_file_if_exists(file)) build.metadata = metadata_of(*text, file.string());
        builds.push_back(std::move(build));
    }
    return builds;
}

build::DeviceFitOf fit_of(const std::vector<LocalBuild>& builds) {
    return [&builds](const build::BuildVariant& variant, const build::Target& target) {
        const auto build = std::find_if(builds.begin(), builds.end(),
                                        [&](const LocalBuild& one) { return one.variant == variant; });
        if (build == builds.end()) return build::DeviceFit{};
        std::error_code ignored;
        if (fs::is_directory(build->folder, ignored))
            return build::device_fit(build->metadata, build->folder, target);
        return build->metadata ? build::device_fit(*build->metadata, target) : build::DeviceFit{};
    };
}

}  // namespace kernels::app
