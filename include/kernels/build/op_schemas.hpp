// Operator schemas among the strings of a kernel library. Nothing of the library is loaded or run, so that a
// library for another device, or for another operating system, can be looked into.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::build {

/// A text of the form `name(…) -> …`. Only a parser of schemas can tell whether it is one.
struct SchemaText {
    std::string text;
    /// It is the end of a longer string, and the library refers to its beginning: linkers store a string only
    /// once that another one ends with, so that `relu(Tensor x) -> Tensor` may be there as the end of
    /// `leaky_relu(Tensor x) -> Tensor` alone.
    bool is_end = false;
};

/// The texts in a library's read-only data (ELF), or in the whole file (other formats), each once, in the
/// order of the file; of ends of longer strings only those that begin with a name of `wanted`, since every
/// `a_b(…)` has an end `b(…)`, and none in other formats than ELF, whose references are not read. Throws
/// Error(failed) when the library is a damaged ELF file; `origin` names it.
std::vector<SchemaText> schema_texts(std::string_view library, const std::string& origin,
                                     const std::set<std::string>& wanted = {});

/// The same for a file, which is mapped. Throws Error(failed) also when it cannot be read.
std::vector<SchemaText> read_schema_texts(const std::filesystem::path& library,
                                          const std::set<std::string>& wanted = {});

}  // namespace kernels::build
