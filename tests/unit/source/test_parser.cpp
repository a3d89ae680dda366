// What is no Python, or more of it than a stack holds.
#include <doctest/doctest.h>

#include "layer_text.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
using namespace kernels::source;

TEST_CASE("What is no Python is named with its line") {
    CHECK(body("    return (x\n") == "layers.py:3: the bracket ( is never closed");
    CHECK(body("    return x]\n") == "layers.py:3: the bracket ] closes none");
    CHECK(body("    return 'x\n") == "layers.py:3: the string is never closed");
    CHECK(body("    return x $ 1\n") == "layers.py:3: the character $ is no Python");
    CHECK(body("      y = 1\n    return x\n") == "layers.py:4: the indentation fits no block");
    CHECK(body("    return x x\n") == "layers.py:3: unexpected `x`");
    CHECK(body("    if x:\n    return x\n") == "layers.py:4: an indented block is missing");
    CHECK(body("    return 99999999999999999999\n") ==
          "layers.py:3: TorchScript has not: a whole number beyond 64 bits");
    CHECK(body(std::string("    return x\0\n", 14)) == "layers.py:3: a NUL byte");
    CHECK(body("    return '\xff'\n") == "layers.py:3: the file is not UTF-8");
}

TEST_CASE("Line ends and new pages are Python's") {
    CHECK(body("    y = x\r    return y $\r") == "layers.py:4: the character $ is no Python");
    CHECK(body("    y = x\r\n    return y $\r\n") == "layers.py:4: the character $ is no Python");
    CHECK(body("\f    return x $\n") == "layers.py:3: the character $ is no Python");
    CHECK(body("    y = x\n \f    return y $\n") == "layers.py:4: the character $ is no Python");
    CHECK(body("    return x  # words\r    return x $\n") == "layers.py:4: the character $ is no Python");
}

TEST_CASE("What is wrong in an f-string is on its line") {
    CHECK(body("    y = x\n    assert y, f'{" + repeated("(", 200) + "x" + repeated(")", 200) + "}'\n") ==
          "layers.py:4: more than 100 brackets are open");
}

TEST_CASE("Messages stay short enough to be read") {
    const auto refused = body("    return " + repeated("y", 100000) + " y\n");
    CHECK(refused.size() < 1000);
}

TEST_CASE("Source that would exhaust a stack is refused") {
    CHECK(body("    return " + repeated("(", 10000) + "x\n") ==
          "layers.py:3: more than 100 brackets are open");
    CHECK(body("    return " + repeated("- ", 100000) + "x\n") ==
          "layers.py:3: the expression is nested too deeply");
    CHECK(body("    return " + repeated("x + ", 100000) + "x\n") ==
          "layers.py:3: the expression is nested too deeply");
    CHECK(body("    return self" + repeated(".self", 100000) + "\n") ==
          "layers.py:3: the expression is nested too deeply");
    CHECK(body(repeated("    y = x\n", 20000) + "    return x\n").find("too large") != std::string::npos);
    std::string nested;
    for (std::size_t i = 0; i < 60; ++i)
        nested += std::string(4 + i, ' ') + "if x:\n";
    CHECK(body(nested + std::string(64, ' ') + "y = 1\n").find("too deeply") != std::string::npos);
    CHECK(body("    if x: y = 1\n" + repeated("    elif x: y = 1\n", 1000)).find("too deeply") !=
          std::string::npos);
    const std::string quotes = "f'''{f\"{f'{x}'}\"}'''";
    CHECK(body("    return " + quotes + "\n") == "  return \"{}\".format(\"{}\".format(\"{}\".format(x)))\n");
    CHECK(body(repeated("# a comment\n", 500000) + "    return x\n") ==
          "layers.py:1: the file is larger than 4 MiB");
}
