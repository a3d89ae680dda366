// Arithmetic of constants: what Python gives and TorchScript would not is refused, with its line.
#include <doctest/doctest.h>

#include "layer_text.hpp"

using namespace kernels::source;

TEST_CASE("Whole numbers beyond 64 bits and errors of Python are refused where they are written") {
    const std::vector<std::pair<std::string, std::string>> refused = {
        {"1 << 70", "the value of << is beyond the 64 bits"},
        {"1 << 63", "beyond"},
        {"-1 << 64", "beyond"},
        {"1 << -1", "a shift of constants by a negative number"},
        {"2 ** 64", "beyond"},
        {"(-9223372036854775807 - 1) // -1", "the value of // is beyond"},
        {"-(-9223372036854775807 - 1)", "the value of - is beyond"},
        {"9223372036854775807 + 1", "beyond"},
        {"3037000500 * 3037000500", "beyond"},
        {"1 // 0", "a division of constants by zero"},
        {"1 % 0", "by zero"},
        {"1 / 0", "by zero"},
        {"1.0 // 0.0", "by zero"},
        {"x + [1, (2, abs(1 // 0))][0]", "by zero"},
        {"N << 70", "the value of <<"},
        {"1 // ZERO", "by zero"},
        {"len(\"\xc3\xa9\")", "a text with characters beyond ASCII"},
        {"min(1, 2.5)", "min of a whole number and a float"},
        {"len(str(0.1))", "the text of a float"},
        {"len(f'{x}{0.1}')", "the text of a float"},
        {"max(N, 0.5)", "max of a whole number and a float"},
        {"'a'.ljust(9999999999)", "a call of ljust, whose result has no bound"},
    };
    for (const auto& [expression, why] : refused) {
        CAPTURE(expression);
        const auto text =
            lowered("N = 2 * 2\nZERO = N - 4\n" + head + "    y = 1\n    return " + expression + "\n");
        CAPTURE(text);
        CHECK(text.find("layers.py:6: ") != std::string::npos);
        CHECK(text.find(why) != std::string::npos);
    }
    const auto of_module = lowered("N = 1 << 70\n" + head + "    return x + N\n");
    CHECK(of_module.find("layers.py:1: the value of << is beyond") != std::string::npos);
    const auto of_variable =
        lowered(head + "    a = -9223372036854775807 - 1\n    b = -1\n    return a // b\n");
    CHECK(of_variable.find("layers.py:5: the value of // is beyond") != std::string::npos);
}

TEST_CASE("Arithmetic that is the same in both stays") {
    for (const char* expression :
         {"(x + (1 << 62))", "(x + (2 ** 62))", "(7 // 2)", "(x // 2)", "(x % 2.5)", "(x / 0)", "(1.0 / 3)",
          "(-9223372036854775807)", "(\"%d\" % x)", "((-9223372036854775807) - 1)", "(1 if False else 2)"}) {
        CAPTURE(expression);
        CHECK(body(std::string("    return ") + expression + "\n").find("refused") == std::string::npos);
        CHECK(body(std::string("    return ") + expression + "\n").find("layers.py") == std::string::npos);
    }
    CHECK(body("    return x // 2\n") == "  return (x // 2)\n");
    CHECK(body("    return x // -1\n") == "  return hub_floordiv(x, (-1))\n");
    CHECK(body("    return x % x\n") == "  return hub_remainder(x, x)\n");
    CHECK(body("    return divmod(x, x)\n") == "  return hub_divmod(x, x)\n");
    // A variable with several values has none that is known; what people read may be written in any script.
    const std::string several = "    n = 0\n    for i in range(3):\n      n = n + 1\n    return 1 // n\n";
    CHECK(body(several).find("hub_floordiv(1, n)") != std::string::npos);
    CHECK(body("    n = n + 1\n    return 1 // n\n").find("hub_floordiv(1, n)") != std::string::npos);
    CHECK(body("    assert x, \"\xc3\xa9\"\n    raise ValueError(\"\xc3\xa9\")\n").find("layers.py") ==
          std::string::npos);
    // Constants of constants are computed once.
    std::string chain = "C0 = 1\n";
    for (int i = 1; i < 40; ++i) {
        const std::string before = "C" + std::to_string(i - 1);
        chain += "C" + std::to_string(i) + " = " + repeated(before + " * ", 20) + before + "\n";
    }
    CHECK(lowered(chain + head + "    return x + C39\n").find("layers.py") == std::string::npos);
}

TEST_CASE("Tuples of tuples are refused before libtorch takes minutes for them") {
    const auto nested = [](int levels, const std::string& value, const std::string& result) {
        std::string text = "    t0 = (x,)\n";
        for (int i = 1; i <= levels; ++i) {
            const std::string before = "t" + std::to_string(i - 1);
            text += "    t" + std::to_string(i) + " = " + value + "\n";
            for (auto at = text.find("T"); at != std::string::npos; at = text.find("T"))
                text.replace(at, 1, before);
        }
        return body(text + "    return " + result + "\n");
    };
    CHECK(nested(7, "(T, T)", "t7").find("layers.py") == std::string::npos);
    CHECK(nested(25, "(T,)", "t25").find("layers.py") == std::string::npos);
    CHECK(nested(25, "(T, T)", "x").find("layers.py:12: a tuple of tuples with more than 1000 parts") !=
          std::string::npos);
    CHECK(nested(25, "[(T[0], T)][0]", "x").find("a tuple of tuples") != std::string::npos);
    CHECK(nested(8, "(T, T)", "(t8, t8)").find("layers.py:12: a tuple of tuples") != std::string::npos);
}
