#include "wide_values.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <vector>

#include "in_double.hpp"
#include "shared_memory.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

// Elements that are widened at once: 64 MiB, and what a product takes of a large weight: 8 MiB.
constexpr int64_t most_elements = int64_t{8} << 20U;
constexpr int64_t elements_of_part = int64_t{1} << 20U;

double largest_of(at::ScalarType dtype) {
    if (dtype == at::kHalf) return std::numeric_limits<c10::Half>::max();
    if (dtype == at::kBFloat16) return std::numeric_limits<c10::BFloat16>::max();
    return std::numeric_limits<float>::max();
}

bool is_narrow(const at::Tensor& tensor) {
    return tensor.defined() && is_narrower_than_double(tensor.scalar_type());
}

bool has_narrow(const IValue& value) {
    if (value.isTensor()) return is_narrow(value.toTensor());
    const auto tensors = tensors_in({value});
    return std::any_of(tensors.begin(), tensors.end(), is_narrow);
}

void check_size(int64_t elements) {
    if (elements > most_elements)
        throw std::runtime_error("it takes too much memory to be computed in float64");
}

at::Tensor wide(const at::Tensor& tensor) {
    if (!is_narrow(tensor)) return tensor;
    check_size(tensor.numel());
    return tensor.to(at::kDouble);
}

// Whether one of the tensors shares the memory of one of the others.
bool are_views(const IValue& value, const std::vector<IValue>& others) {
    const auto ones = tensors_in({value});
    return std::any_of(ones.begin(), ones.end(), [of = tensors_in(others)](const at::Tensor& one) {
        return std::any_of(of.begin(), of.end(), [&](const at::Tensor& other) { return share(one, other); });
    });
}

// Tensors, and lists of them: what is of any type stays what it is, as it may be changed in its place.
bool takes_tensors(const c10::Argument& argument) {
    auto type = argument.type();
    if (const auto optional = type->cast<OptionalType>()) type = optional->getElementType();
    if (const auto list = type->cast<ListType>()) type = list->getElementType();
    if (const auto optional = type->cast<OptionalType>()) type = optional->getElementType();
    return type->kind() == TypeKind::TensorType;
}

// What these give for their first argument is some of its elements, which are exact.
bool selects(c10::Symbol kind) {
    static const std::set<c10::Symbol> kinds{aten::embedding, aten::index_select, aten::index, aten::gather};
    return kinds.contains(kind);
}

// The dimension of a product's second factor that becomes the result's last one.
std::optional<int64_t> columns_of(c10::Symbol kind) {
    if (kind == aten::linear) return 0;
    if (kind == aten::matmul || kind == aten::mm || kind == aten::addmm) return 1;
    return std::nullopt;
}

// A product with a large weight, part by part.
bool multiplied_in_parts(c10::Symbol kind, Stack& stack) {
    const auto columns = columns_of(kind);
    if (!columns) return false;
    const bool sum = kind == aten::addmm;  // what is added, the factors, and numbers for the two
    const std::size_t first_factor = sum ? 1 : 0;
    const std::size_t count_of_inputs = sum ? 5 : *columns == 0 ? 3 : 2;  // without `out`
    if (stack.size() != count_of_inputs || !stack[first_factor].isTensor() ||
        !stack[first_factor + 1].isTensor())
        return false;
    const at::Tensor weight = stack[first_factor + 1].toTensor();
    if (!is_narrow(weight) || weight.dim() != 2 || weight.numel() <= elements_of_part) return false;
    const at::Tensor input = wide(stack[first_factor].toTensor());
    const int64_t count = weight.size(*columns);
    const int64_t inner = std::max<int64_t>(1, weight.size(1 - *columns));
    check_size(input.numel() / inner * count);
    const int64_t step = std::max<int64_t>(1, elements_of_part / inner);
    at::Tensor result;  // one for all parts: of a large one there is no second
    for (int64_t first = 0; first < count; first += step) {
        const int64_t size = std::min(step, count - first);
        const auto part = wide(weight.narrow(*columns, first, size));
        const auto product = *columns == 0 ? at::linear(input, part) : at::matmul(input, part);
        if (!result.defined()) {
            auto sizes = product.sizes().vec();
            sizes.back() = count;
            result = at::empty(sizes, product.options());
        }
        result.narrow(-1, first, size).copy_(product);
    }
    if (sum) {
        result.mul_(stack[4].toScalar()).add_(at::mul(wide(stack[0].toTensor()), stack[3].toScalar()));
    } else if (stack.size() > 2 && stack[2].isTensor()) {
        result.add_(wide(stack[2].toTensor()));
    }
    stack = {result};
    return true;
}

}  // namespace

IValue widened(const IValue& value) {
    return has_narrow(value) ? with_tensors(value, wide) : value;
}

// Buffers are read and written by several nodes; large ones are taken for read alone, see operate().
at::Tensor WideValues::own(const at::Tensor& tensor) {
    if (!is_narrow(tensor) || !tensor.has_storage()) return tensor;
    const auto count = static_cast<int64_t>(tensor.storage().nbytes() / tensor.element_size());
    auto known = m_copies.find(tensor.storage().unsafeGetStorageImpl());
    if (known == m_copies.end()) {
        if (m_copied + count > most_elements) return tensor;
        m_copied += count;
        const auto all = at::empty({0}, tensor.options()).set_(tensor.storage(), 0, {count}, {1});
        known = m_copies.emplace(tensor.storage().unsafeGetStorageImpl(), all.to(at::kDouble)).first;
    }
    if (known->second.numel() != count)
        throw std::runtime_error("two of its buffers are the same memory in different dtypes");
    return known->second.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

IValue WideValues::attribute(const c10::intrusive_ptr<c10::ivalue::Object>& owner, const std::string& name) {
    const auto slot = owner->type()->getAttributeSlot(name);
    const IValue& value = owner->getSlot(slot);
    if (m_made.contains(owner)) return value;
    const auto known = m_attributes.find({owner, name});
    if (known != m_attributes.end()) return known->second;
    const auto& type = *owner->type();
    if (!has_narrow(value) || (type.is_module() && type.is_parameter(slot))) return value;
    const auto copy = with_tensors(value, [this](const at::Tensor& tensor) { return own(tensor); });
    return m_attributes.emplace(std::pair(owner, name), copy).first->second;
}

void WideValues::set_attribute(const c10::intrusive_ptr<c10::ivalue::Object>& owner, const std::string& name,
                               IValue value) {
    if (m_made.contains(owner)) return owner->setAttr(name, std::move(value));
    m_attributes[{owner, name}] = std::move(value);
}

// Where code leaves them to the dtype: in float64 they would be others.
void WideValues::set_limits_of_dtype(Symbol kind, Stack& stack) const {
    if (m_own == at::kDouble) return;
    if (kind == aten::rms_norm && stack.size() == 4 && stack[3].isNone())
        stack[3] = static_cast<double>(std::numeric_limits<float>::epsilon());  // also for narrower ones
    if (kind == aten::nan_to_num && stack.size() >= 4) {
        const double largest = largest_of(m_own);
        if (stack[2].isNone()) stack[2] = largest;
        if (stack[3].isNone()) stack[3] = -largest;
    }
}

void WideValues::operate(const Node& node, Stack& stack) const {
    const auto kind = node.kind();
    set_limits_of_dtype(kind, stack);
    if (multiplied_in_parts(kind, stack)) return;
    std::vector<IValue> left;  // narrow, as the result may be a view of it, to be widened where that is used
    int64_t elements = 0;
    const auto& schema = node.schema();
    const auto& arguments = schema.arguments();
    for (std::size_t i = 0; i < arguments.size() && i < stack.size(); ++i) {
        if (stack[i].isInt() && is_dtype(arguments[i]) &&
            is_narrower_than_double(static_cast<at::ScalarType>(stack[i].toInt())))
            stack[i] = static_cast<int64_t>(at::kDouble);
        if (!takes_tensors(arguments[i]) || !has_narrow(stack[i])) continue;
        const auto* alias = arguments[i].alias_info();
        if (alias != nullptr && alias->isWrite())
            throw std::runtime_error("it writes to a tensor that is not in float64");
        if (alias != nullptr || (i == 0 && selects(kind))) {
            left.push_back(stack[i]);
            continue;
        }
        for (const auto& tensor : tensors_in({stack[i]}))
            elements += tensor.numel();
        check_size(elements);
        stack[i] = widened(stack[i]);
    }
    node.getOperation()(stack);
    const auto& returns = schema.returns();
    for (std::size_t i = 0; i < returns.size() && i < stack.size(); ++i) {
        if (!takes_tensors(returns[i])) continue;
        if (!are_views(stack[i], left)) stack[i] = widened(stack[i]);
        if (stack[i].isTensor() && stack[i].toTensor().defined() && stack[i].toTensor().has_storage() &&
            returns[i].alias_info() == nullptr)
            check_size(stack[i].toTensor().numel());
    }
}

}  // namespace kernels::torchscript
