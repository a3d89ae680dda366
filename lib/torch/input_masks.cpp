#include "input_masks.hpp"

#include <algorithm>

#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using Flags = at::Tensor (*)(int64_t rows, int64_t columns);

at::Tensor at_random(int64_t rows, int64_t columns) {
    auto flags = at::rand({rows, columns}) < 0.6;
    flags.select(-1, 0).fill_(true);
    return flags;
}

// The numbers of flags set in each row, one to all but one.
at::Tensor lengths(int64_t rows, int64_t columns) {
    return at::randint(1, std::max<int64_t>(columns, 2), {rows, 1});
}

at::Tensor padded_right(int64_t rows, int64_t columns) {
    return at::arange(columns).lt(lengths(rows, columns));
}

at::Tensor padded_left(int64_t rows, int64_t columns) {
    return at::arange(columns).ge(columns - lengths(rows, columns));
}

at::Tensor some_rows_without(int64_t rows, int64_t columns) {
    const auto with = at::rand({rows, 1}) < 0.5;
    with[0].fill_(false);
    return at_random(rows, columns).logical_and(with);
}

// The last extent, but for those of 1 behind it, which stand for what is masked.
int64_t columns_of(const at::Tensor& mask) {
    int64_t dim = mask.dim() - 1;
    while (dim > 0 && mask.size(dim) == 1)
        --dim;
    return mask.size(dim);
}

}  // namespace

bool is_flags(const at::Tensor& tensor) {
    if (tensor.dim() == 0 || tensor.numel() == 0 || tensor.is_complex()) return false;
    return tensor.scalar_type() == at::kBool || tensor.eq(0).logical_or(tensor.eq(1)).all().item<bool>();
}

void add_masks(const std::vector<c10::IValue>& arguments, bool some, std::vector<InputCase>& cases) {
    const auto tensors = tensors_in(arguments);
    if (std::none_of(tensors.begin(), tensors.end(), is_flags)) return;
    const auto add = [&](const char* name, Flags flags) {
        InputCase one;
        one.name = name;
        one.arguments = with_tensors(arguments, [&](const at::Tensor& t) {
            if (!is_flags(t)) return t;
            const int64_t columns = columns_of(t);
            return flags(t.numel() / columns, columns).reshape(t.sizes()).to(t.options());
        });
        cases.push_back(std::move(one));
    };
    add("masks of other flags", at_random);
    add("masks of rows that are padded on the left", padded_left);
    if (some) return;
    add("masks of rows that are padded on the right", padded_right);
    add("masks with rows without any flag", some_rows_without);
}

}  // namespace kernels::torchscript
