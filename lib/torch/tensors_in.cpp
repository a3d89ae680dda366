#include "tensors_in.hpp"

#include <algorithm>
#include <cstring>

namespace kernels::torchscript {
namespace {

void collect(const c10::IValue& value, std::vector<at::Tensor>& found) {
    if (value.isTensor()) {
        if (value.toTensor().defined()) found.push_back(value.toTensor());
    } else if (value.isTuple()) {
        for (const auto& element : value.toTupleRef().elements())
            collect(element, found);
    } else if (value.isList()) {
        for (const auto& element : value.toListRef())
            collect(element, found);
    } else if (value.isGenericDict()) {
        for (const auto& item : value.toGenericDict())
            collect(item.value(), found);
    }
}

// Storages that hold far more than the tensor (a row of a cache, say) are not copied whole.
bool copies_whole(const at::Tensor& tensor) {
    constexpr std::size_t spare = 1 << 20;
    return tensor.layout() == at::kStrided && !tensor.is_quantized() && tensor.has_storage() &&
           tensor.storage().nbytes() <= 4 * tensor.nbytes() + spare;
}

at::Tensor bytes_of(const at::Tensor& tensor) {
    const auto size = static_cast<int64_t>(tensor.storage().nbytes());
    return at::empty({0}, tensor.options().dtype(at::kByte)).set_(tensor.storage(), 0, {size}, {1});
}

// Whether the same bytes are the same values in both: a tensor may be the conjugate, or the negative, of what
// its memory holds.
bool reads_alike(const at::Tensor& one, const at::Tensor& other) {
    return one.is_conj() == other.is_conj() && one.is_neg() == other.is_neg();
}

at::Tensor plain(const at::Tensor& tensor) {
    return tensor.resolve_conj().resolve_neg().contiguous().cpu();
}

}  // namespace

std::vector<at::Tensor> tensors_in(const std::vector<c10::IValue>& values) {
    std::vector<at::Tensor> found;
    for (const auto& value : values)
        collect(value, found);
    return found;
}

at::Tensor computable(const at::Tensor& tensor) {
    const at::Tensor dense = tensor.layout() == at::kStrided ? tensor : tensor.to_dense();
    return dense.is_floating_point() && dense.element_size() == 1 ? dense.to(at::kFloat) : dense;
}

bool all_finite(const c10::IValue& value) {
    const auto tensors = tensors_in({value});
    return std::all_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
        return !tensor.is_floating_point() || computable(tensor).isfinite().all().item<bool>();
    });
}

c10::IValue with_tensors(const c10::IValue& value,
                         const std::function<at::Tensor(const at::Tensor&)>& change) {
    if (value.isTensor()) return value.toTensor().defined() ? c10::IValue(change(value.toTensor())) : value;
    if (value.isTuple()) {
        std::vector<c10::IValue> elements;
        for (const auto& element : value.toTupleRef().elements())
            elements.push_back(with_tensors(element, change));
        return c10::ivalue::Tuple::create(std::move(elements));
    }
    if (value.isList()) {
        const auto list = value.toList();
        c10::List<c10::IValue> changed(list.elementType());
        for (const auto& element : value.toListRef())
            changed.push_back(with_tensors(element, change));
        return changed;
    }
    if (value.isGenericDict()) {
        const auto dict = value.toGenericDict();
        c10::Dict<c10::IValue, c10::IValue> changed(dict.keyType(), dict.valueType());
        for (const auto& item : dict)
            changed.insert(item.key(), with_tensors(item.value(), change));
        return changed;
    }
    return value;
}

std::vector<c10::IValue> with_tensors(const std::vector<c10::IValue>& values,
                                      const std::function<at::Tensor(const at::Tensor&)>& change) {
    std::vector<c10::IValue> changed;
    for (const auto& value : values)
        changed.push_back(with_tensors(value, change));
    return changed;
}

std::vector<c10::IValue> with_numbered_tensors(
    const std::vector<c10::IValue>& values,
    const std::function<at::Tensor(const at::Tensor&, std::size_t)>& change) {
    std::size_t number = 0;
    return with_tensors(values, [&](const at::Tensor& tensor) { return change(tensor, number++); });
}

at::Tensor exact_copy(const at::Tensor& tensor) {
    if (!copies_whole(tensor)) return tensor.detach().clone();
    const at::Tensor bytes = bytes_of(tensor.detach()).clone();
    const at::Tensor copy =
        at::empty({0}, tensor.options())
            .set_(bytes.storage(), tensor.storage_offset(), tensor.sizes(), tensor.strides());
    copy._set_conj(tensor.is_conj());
    copy._set_neg(tensor.is_neg());
    return copy;
}

bool same_bytes(const at::Tensor& one, const at::Tensor& other) {
    if (one.layout() != at::kStrided || one.is_quantized() || !one.has_storage()) {
        return at::equal(one.to_dense(), other.to_dense());
    }
    if (one.storage().nbytes() == other.storage().nbytes() && reads_alike(one, other)) {
        const auto a = bytes_of(one).cpu();
        const auto b = bytes_of(other).cpu();
        return a.numel() == 0 ||
               std::memcmp(a.data_ptr(), b.data_ptr(), static_cast<std::size_t>(a.numel())) == 0;
    }
    const auto a = plain(one);
    const auto b = plain(other);
    return a.nbytes() == b.nbytes() &&
           (a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0);
}

void give_bytes(const at::Tensor& tensor, const at::Tensor& copy) {
    const bool strided = tensor.layout() == at::kStrided && tensor.has_storage();
    if (tensor.sizes() != copy.sizes() || (strided && tensor.storage().nbytes() < copy.nbytes())) {
        tensor.unsafeGetTensorImpl()->shallow_copy_from(exact_copy(copy).getIntrusivePtr());  // was resized
    } else if (!same_bytes(tensor, copy)) {
        const bool alike = copies_whole(tensor) && reads_alike(tensor, copy) &&
                           tensor.storage().nbytes() == copy.storage().nbytes();
        alike ? bytes_of(tensor.detach()).copy_(bytes_of(copy)) : tensor.detach().copy_(copy);
    }
}

std::vector<at::Tensor> weights_of(const torch::jit::Module& module) {
    std::vector<at::Tensor> weights;
    for (const auto& attribute : module.named_attributes(true))
        collect(attribute.value, weights);
    return weights;
}

std::size_t checksum_of_parameters(const torch::jit::Module& module) {
    constexpr std::size_t factor = 1099511628211U;  // of FNV-1a
    std::size_t sum = 0;
    for (const auto& parameter : module.parameters()) {
        if (parameter.layout() != at::kStrided || parameter.is_quantized()) continue;
        const at::Tensor whole =
            copies_whole(parameter) ? parameter.detach() : parameter.detach().contiguous();
        const at::Tensor bytes = bytes_of(whole).cpu();
        const std::string_view all(static_cast<const char*>(bytes.data_ptr()),
                                   static_cast<std::size_t>(bytes.numel()));
        sum = sum * factor ^ std::hash<std::string_view>()(all);
    }
    return sum;
}

std::size_t bytes_in(const torch::jit::Module& module) {
    std::size_t bytes = 0;
    for (const auto& attribute : module.named_attributes(true)) {
        if (attribute.value.isTensor() && attribute.value.toTensor().defined())
            bytes += attribute.value.toTensor().nbytes();
    }
    return bytes;
}

void convert(torch::jit::Module& module, at::ScalarType dtype) {
    for (auto part : module.modules()) {
        std::vector<std::pair<std::string, at::Tensor>> changed;
        for (const auto& attribute : part.named_attributes(false)) {
            if (!attribute.value.isTensor()) continue;
            const at::Tensor& tensor = attribute.value.toTensor();
            if (tensor.defined() && tensor.is_floating_point())
                changed.emplace_back(attribute.name, tensor.detach().to(dtype));
        }
        for (const auto& [name, tensor] : changed)
            part.setattr(name, tensor);
    }
}

}  // namespace kernels::torchscript
