// The frame of a probe: a program that answers one JSON document a line, so that tests in Python can put the
// same questions to it and to the Python client.
#pragma once

#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

namespace kernels::testing {

/// Answers every line of stdin by `answer`, and gives the exit status: a question that cannot be answered
/// ends the probe with a message that begins with its `name`.
template <typename Answer>
int answer_lines(const char* name, Answer answer) {
    try {
        std::ios::sync_with_stdio(false);
        for (std::string line; std::getline(std::cin, line);)
            std::cout << answer(nlohmann::json::parse(line)).dump() << '\n';
        return 0;
    } catch (const std::exception& error) {
        std::cerr << name << ": " << error.what() << '\n';
        return 1;
    }
}

}  // namespace kernels::testing
