// What the examples claim, checked: a wrong claim ends the program with status 1.
#pragma once

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "kernels/core/error.hpp"

inline void expect(bool holds, std::string_view claim) {
    std::cout << (holds ? "yes: " : "NO:  ") << claim << '\n';
    if (!holds) std::exit(1);
}

/// `action` throws kernels::Error; prints what it says.
template <typename Action>
void expect_error(Action action, std::string_view claim) {
    try {
        action();
    } catch (const kernels::Error& error) {
        expect(true, claim);
        std::cout << "     error: " << error.what() << '\n';
        if (!error.hint().empty()) std::cout << "     hint: " << error.hint() << '\n';
        return;
    }
    expect(false, claim);
}
