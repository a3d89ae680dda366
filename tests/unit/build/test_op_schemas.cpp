#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernels/build/op_schemas.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "made_library.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using namespace kernels::build;
using kernels::testing::Bytes;
using kernels::testing::elf_library;
using kernels::testing::first_section_at;

namespace {

// C strings, one after the other.
std::string strings(const std::vector<std::string>& texts) {
    std::string out;
    for (const auto& text : texts)
        out += text + '\0';
    return out;
}

// lea rdi, [rip + …]: an instruction at `at` that computes the address `to`.
std::string lea(std::uint64_t at, std::uint64_t to) {
    return Bytes().add_text("\x48\x8d\x3d").add(static_cast<std::uint32_t>(to - at - 7)).text();
}

std::vector<std::pair<std::string, bool>> found(const std::string& library,
                                                const std::set<std::string>& wanted = {}) {
    std::vector<std::pair<std::string, bool>> out;
    for (auto& text : schema_texts(library, "x.so", wanted))
        out.emplace_back(std::move(text.text), text.is_end);
    return out;
}

using Found = std::vector<std::pair<std::string, bool>>;

}  // namespace

TEST_CASE("Schemas are read out of the read-only data, each once") {
    const std::string rodata =
        strings({"", "hello -> world", "relu(Tensor! out, Tensor input) -> ()", "relu",
                 "relu(Tensor! out, Tensor input) -> ()", "a.out(int n) -> int",
                 "ns::f(Tensor x) -> Tensor[]", "f(\n  Tensor x,\n  int n) -> Tensor"});
    const auto library = elf_library({{".text", strings({"code(int x) -> int"})}, {".rodata", rodata}});
    CHECK(found(library) == Found{{"relu(Tensor! out, Tensor input) -> ()", false},
                                  {"a.out(int n) -> int", false},
                                  {"ns::f(Tensor x) -> Tensor[]", false},
                                  {"f(\n  Tensor x,\n  int n) -> Tensor", false}});
}

TEST_CASE("Whatever the compiler names the section; a library of another system is read as a whole") {
    const auto text = strings({"relu(Tensor x) -> Tensor"});
    CHECK(found(elf_library({{".rodata.str1.8", text}})).size() == 1);
    CHECK(found(elf_library({{".data", text}})).empty());
    CHECK(found("\xcf\xfa\xed\xfe" + std::string(20, '\0') + text).size() == 1);
}

TEST_CASE("A schema that is the end of another string counts where the library refers to it") {
    const std::string rodata = strings({"leaky_relu(Tensor x) -> Tensor", "gelu(Tensor x) -> Tensor"});
    const std::set<std::string> wanted = {"relu", "lu", "elu", "gelu"};
    const Found whole = {{"leaky_relu(Tensor x) -> Tensor", false}, {"gelu(Tensor x) -> Tensor", false}};
    const Found with_end = {{"leaky_relu(Tensor x) -> Tensor", false},
                            {"relu(Tensor x) -> Tensor", true},
                            {"gelu(Tensor x) -> Tensor", false}};
    const auto relu = first_section_at + rodata.find("relu");
    const auto code_at = first_section_at + (rodata.size() + 7) / 8 * 8;
    // Where nothing refers to it, it is the end of a string that has nothing to do with it.
    CHECK(found(elf_library({{".rodata", rodata}}), wanted) == whole);
    CHECK(found(elf_library({{".rodata", rodata}, {".text", lea(code_at, relu)}})) == whole);
    CHECK(found(elf_library({{".rodata", rodata}, {".text", lea(code_at, relu)}}), wanted) == with_end);
    CHECK(found(elf_library({{".rodata", rodata}, {".text", lea(code_at, relu + 30)}}), wanted) == whole);
    const auto pointer = Bytes().add<std::uint64_t>(7).add(relu).text();
    CHECK(found(elf_library({{".rodata", rodata}, {".data.rel.ro", pointer}}), wanted) == with_end);
    CHECK(found(elf_library({{".rodata", rodata}, {".other", pointer}}), wanted) == whole);
    // Where the references cannot be read, ends do not count.
    CHECK(found(elf_library({{".rodata", rodata}, {".text", lea(code_at, relu)}}, 243), wanted) == whole);
    CHECK(found("\xcf\xfa\xed\xfe" + std::string(20, '\0') + rodata, wanted) == whole);
    // adrp x1, 0; nop; add x0, x1, #relu
    const auto adrp = Bytes()
                          .add<std::uint32_t>(0x90000001)
                          .add<std::uint32_t>(0xd503201f)
                          .add(static_cast<std::uint32_t>(0x91000020 | relu << 10))
                          .text();
    CHECK(found(elf_library({{".rodata", rodata}, {".text", adrp}}, 183), wanted) == with_end);
    CHECK(found(elf_library({{".rodata", rodata}, {".text", adrp}}), wanted) == whole);
    // Not the operator of another namespace, nor an overload's name.
    const std::string others = strings({"aten::relu(Tensor x) -> Tensor", "f.relu(Tensor x) -> Tensor"});
    const auto others_end = first_section_at + (others.size() + 7) / 8 * 8;
    CHECK(found(elf_library({{".rodata", others},
                             {".text", lea(others_end, first_section_at + others.find("relu"))}}),
                {"relu"})
              .size() == 2);
    // A constant may stand before a string without a zero between them.
    const std::string after_constant = std::string("\x80\x3f") + "Hrelu(Tensor x) -> Tensor" + '\0';
    CHECK(found(elf_library({{".rodata", after_constant}})).empty());
    CHECK(found(elf_library({{".rodata", after_constant}, {".text", lea(96, first_section_at + 3)}}),
                {"relu"}) == Found{{"relu(Tensor x) -> Tensor", true}});
}

TEST_CASE("Pieces of strings and texts that look alike are left out") {
    // Short strings that the compiler copies in pieces stand without zeros between them.
    CHECK(
        found(elf_library({{".rodata", strings({"f1(Tensor x) -> f2(Tensor xyz) -> Tensor"})}}), {"f1", "f2"})
            .empty());
    for (const char* text :
         {"-> ()", "no parentheses -> here", "1f(int x) -> int", "(int x) -> int", "a -> f(int x)"}) {
        CAPTURE(text);
        CHECK(found(elf_library({{".rodata", strings({text})}})).empty());
    }
    const std::string unfinished = "f(Tensor x) -> Tensor\x80";
    CHECK(found(elf_library({{".rodata", unfinished}})).empty());
    CHECK(found(elf_library({{".rodata", std::string(100000, 'x') + "(int x) -> int" + '\0'}})).empty());
}

TEST_CASE("Files") {
    const testing::TemporaryFolder folder;
    CHECK_THROWS_AS(read_schema_texts(folder / "none.so"), Error);
    write_file(folder / "empty.so", "");
    CHECK(read_schema_texts(folder / "empty.so").empty());
    write_file(folder / "cut.so", elf_library({{".rodata", strings({"f(int x) -> int"})}}).substr(0, 70));
    CHECK(read_schema_texts(folder / "cut.so").empty());
    write_file(folder / "whole.so", elf_library({{".rodata", strings({"f(int x) -> int"})}}));
    CHECK(read_schema_texts(folder / "whole.so").size() == 1);
}
