// Mode: what a model is used for, and the order in which a mapping is searched.
#include "kernels/layer/mode.hpp"
#include "expect.hpp"

using kernels::layer::Mode;

int main() {
    const Mode mode = Mode::inference | Mode::torch_compile;
    std::cout << mode.to_string() << " takes, in this order:";
    for (const Mode candidate : mode.candidates())
        std::cout << ' ' << candidate.to_string();
    std::cout << '\n';
    expect(mode == Mode::parse("inference|torch-compile"), "a mode has a text form, as in project files");
    expect(mode.candidates().back() == Mode::fallback, "what is mapped without a mode comes last");
    expect_error([] { return Mode::inference | Mode::training; },
                 "inference and training exclude each other");
    expect_error([] { return Mode::fallback | Mode::training; }, "fallback combines with nothing");
    expect_error([] { Mode::torch_compile.require_use(); }, "a model is for inference or for training");
}
