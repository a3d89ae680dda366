// Types of variables whose values are of two types, one of them None: TorchScript wants to know at the first.
#pragma once

#include "hub_compilation.hpp"
#include "kernels/core/error.hpp"

namespace kernels::torchscript {

/// Declares the variable that the compiler's message is about with a type that holds both of its values.
/// False when the message is about something else, or there is no such type.
bool declare_wider(HubCompilation& compilation, const source::FunctionSource& function,
                   const std::string& message, source::Declared& declared);

/// `compile(declared)`, and again with one more declaration as long as that is what the compiler misses.
template <typename Compile>
auto with_variable_types(HubCompilation& compilation, const source::FunctionSource& function,
                         const Compile& compile) -> decltype(compile(source::Declared())) {
    source::Declared declared;
    for (;;) {
        try {
            return compile(declared);
        } catch (const Error&) {
            throw;
        } catch (const std::exception& failure) {
            if (!declare_wider(compilation, function, failure.what(), declared)) throw;
        }
    }
}

}  // namespace kernels::torchscript
