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

inline constexpr std::string_view run_in_its_folder =
    "this example reads kernels.toml and kernels.lock of examples/layers-api: run it there";
inline constexpr std::string_view needs_the_demo_kernel =
    "the demo's kernel is in no hub: set "
    "LOCAL_KERNELS=kernels-demo/transformer-ops=BUILD/examples/demo-hub/kernels-demo/transformer-ops/v1";

/// Runs `example`, which returns the program's status. What stops it is said in a line, with `hint` for what
/// to do.
template <typename Example>
int run_example(std::string_view hint, Example example) {
    try {
        return example();
    } catch (const kernels::Error& error) {
        std::cerr << "error: " << error.what() << '\n' << "hint: " << hint << '\n';
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
