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

/// The body of main for an example that reads the project of its folder: says what is wrong where it cannot.
template <typename Action>
int in_its_folder(Action action) {
    try {
        action();
        return 0;
    } catch (const kernels::Error& error) {
        std::cerr << "error: " << error.what() << '\n'
                  << "hint: this example reads kernels.toml and kernels.lock of examples/layers-api: run it "
                     "there\n";
        return 1;
    }
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
