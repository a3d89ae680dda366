// Where a Python looks for its packages: what sys.path would be, read from files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "build/places.hpp"

namespace kernels::build {

/// The prefixes whose packages the Python of an environment uses, in the order of its sys.path. A virtual
/// environment comes by itself, or with the user's packages and those of the Python that it was made from;
/// `shares_user_packages`: any other Python puts the user's before its own.
std::vector<Place> python_places(const std::filesystem::path& prefix, const std::string& origin,
                                 bool shares_user_packages);

/// The same of a program python3 that stands in `folder`, by what it is a link to too.
std::vector<Place> places_of_program(const std::filesystem::path& folder, const std::string& origin);

/// The folders of Python packages below an environment's prefix: those of the Python `python` ("3.11"), else
/// of the one that the environment has, else of all, the newest Python's first. Debian's Python has
/// local/lib/python3.11/dist-packages before its own.
std::vector<std::filesystem::path> package_folders(const std::filesystem::path& prefix,
                                                   std::string python = {});

}  // namespace kernels::build
