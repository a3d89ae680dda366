// What unit tests ask of results: is this in a text, which error does a call end with.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "kernels/core/error.hpp"

namespace kernels::testing {

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// The test fails when the call ends with no error.
template <typename Call>
Error error_of(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        return error;
    }
    FAIL("no error");
    return {ErrorCode::failed, ""};
}

}  // namespace kernels::testing
