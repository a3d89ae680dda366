// Where a Python looks for its packages: what sys.path would be, read from files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "build/places.hpp"

namespace kernels::build {

/// The prefixes whose packages the Python of an environment uses, in the order of its sys.path. A virtual
/// environment comes by itself, or with the user's packages and those of the Python that it was made from;
/// `shares_user_packages`: any other Python puts the user's before its own.
std::vector<Place> python_places(const std::filesystem::path& prefix, const std::string& origin,
                                 bool shares_user_packages);

/// The same of a program python3, by what it is a link to too.
std::vector<Place> places_of_program(const std::filesystem::path& program, const std::string& origin);

/// The folders of Python packages below an environment's prefix: those of the Python `python` ("3.11"), else
/// of the one that the environment has, else of all, the newest Python's first. Debian's Python has
/// local/lib/python3.11/dist-packages before its own. What the .pth files in one add comes after it.
std::vector<std::filesystem::path> package_folders(const std::filesystem::path& prefix,
                                                   std::string python = {});

/// The folders in which the Python of `place` looks for packages, in their order: those of PYTHONPATH and of
/// all the places in `all` that are this Python's. A place of PYTHONPATH is for the first Python there is.
std::vector<std::filesystem::path> search_path(const Place& place, const std::vector<Place>& all);

/// `packages` with the folder `own` among them, and without those of another version of Python than `own` is
/// of.
std::vector<std::filesystem::path> packages_with(const std::filesystem::path& own,
                                                 std::vector<std::filesystem::path> packages);

/// "torch_npu 2.9.0 (FOLDER)" of a package in the first of the folders that has it, without a version where
/// it does not tell.
std::optional<std::string> package_in(const std::vector<std::filesystem::path>& packages,
                                      const std::string& name);

/// What an installed distribution says about itself.
struct Distribution {
    std::string version;
    std::filesystem::path folder;  ///< its .dist-info
};

/// The distribution of a name, as its file names have it, in the first of the folders that has one.
std::optional<Distribution> distribution_in(const std::vector<std::filesystem::path>& packages,
                                            const std::string& name);

}  // namespace kernels::build
