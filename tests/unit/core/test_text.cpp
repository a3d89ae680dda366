#include <doctest/doctest.h>

#include <array>
#include <string>

#include "kernels/core/text.hpp"

using namespace kernels;

TEST_CASE("backquoted escapes what a terminal would act on and cuts long text") {
    CHECK(backquoted("a\nb") == "`a\\x0ab`");
    CHECK(backquoted("\x1b[31m") == "`\\x1b[31m`");
    CHECK(backquoted(std::string(500, 'x')).size() < 140);
}

TEST_CASE("split and join are inverse") {
    const auto parts = split("a,,b", ',');
    REQUIRE(parts.size() == 3);
    CHECK(parts[1].empty());
    CHECK(split("", ',').size() == 1);
    const std::array<std::string, 3> words = {"a", "", "b"};
    CHECK(join(words, ",") == "a,,b");
}

TEST_CASE("first_line") {
    CHECK(first_line("\n  what \nwhere\n") == "what");
    CHECK(first_line("one") == "one");
    CHECK(first_line(" \n ").empty());
}

TEST_CASE("glob_match") {
    CHECK(glob_match("transformers.*.LlamaRMSNorm", "transformers.models.llama.modeling_llama.LlamaRMSNorm"));
    CHECK(glob_match("*", ""));
    CHECK(glob_match("a?c", "abc"));
    CHECK_FALSE(glob_match("a?c", "ac"));
    CHECK_FALSE(glob_match("*.norm", "norm.x"));
    CHECK_FALSE(glob_match("abc", "abcd"));
    // A pattern that backtracking matchers take exponential time for.
    std::string pattern;
    for (int i = 0; i < 30; ++i)
        pattern += "a*";
    CHECK_FALSE(glob_match(pattern + "b", std::string(200, 'a')));
}

TEST_CASE("did_you_mean suggests near words only") {
    const std::array<std::string, 3> commands = {"lock", "download", "kernelize"};
    CHECK(did_you_mean("lokc", commands) == "did you mean `lock`?");
    CHECK(did_you_mean("Kernelise", commands) == "did you mean `kernelize`?");
    CHECK(did_you_mean("frobnicate", commands).empty());
}

TEST_CASE("human_size") {
    CHECK(human_size(512) == "512 B");
    CHECK(human_size(1536) == "1.5 KiB");
    CHECK(human_size(std::size_t{1} << 30U) == "1.0 GiB");
}

TEST_CASE("what a terminal may get") {
    CHECK(printable("a\x1b[2J\n\x7f") == "a\\x1b[2J\\x0a\\x7f");
    CHECK(printable("a\n\tb\x1b", "\n\t") == "a\n\tb\\x1b");
    CHECK(printable("naïve ✅ 𝔸") == "naïve ✅ 𝔸");
    CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");               // a control character of two bytes
    CHECK(printable("\xff\xc3") == "\\xff\\xc3");               // no UTF-8, and half a character
    CHECK(printable("\xc0\x9b") == "\\xc0\\x9b");               // an overlong form
    CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");      // half of a pair
    CHECK(printable("\xf4\x90\x80\x80").starts_with("\\xf4"));  // beyond Unicode
    CHECK(backquoted(std::string(119, 'x') + "é") == "`" + std::string(119, 'x') + "…`");
    CHECK(backquoted(std::string(119, 'x') + "éé") == "`" + std::string(119, 'x') + "…`");
}
