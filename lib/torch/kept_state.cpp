#include "kept_state.hpp"

#include <algorithm>

#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using c10::IValue;

// What is in a list or dictionary: of the latter keys and values in turn.
std::vector<IValue> elements_of(const IValue& container) {
    if (container.isList()) return container.toListRef().vec();
    std::vector<IValue> elements;
    for (const auto& item : container.toGenericDict()) {
        elements.push_back(item.key());
        elements.push_back(item.value());
    }
    return elements;
}

void fill(const IValue& container, const std::vector<IValue>& elements) {
    if (container.isList()) {
        auto list = container.toList();
        list.clear();
        for (const auto& element : elements)
            list.push_back(element);
        return;
    }
    auto dict = container.toGenericDict();
    dict.clear();
    for (std::size_t i = 0; i + 1 < elements.size(); i += 2)
        dict.insert(elements[i], elements[i + 1]);
}

bool is_container(const IValue& value) {
    return value.isList() || value.isGenericDict();
}

bool same_form(const at::Tensor& one, const at::Tensor& other) {
    return one.scalar_type() == other.scalar_type() && one.sizes() == other.sizes() &&
           one.layout() == other.layout() && one.device() == other.device();
}

}  // namespace

KeptState::KeptState(const torch::jit::Module& module, Parameters parameters) : m_parameters(parameters) {
    keep(module._ivalue(), "");
}

KeptState::~KeptState() {
    restore();
}

void KeptState::keep(const c10::intrusive_ptr<c10::ivalue::Object>& object, const std::string& path) {
    if (!m_objects.insert(object.get()).second) return;
    const auto type = object->type();
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
        const IValue& value = object->getSlot(i);
        const std::string name = path + type->getAttributeName(i);
        if (value.isObject()) keep(value.toObject(), name + ".");
        const bool parameter = type->is_module() && type->is_parameter(i);
        m_slots.push_back({name, object, i, parameter, value});
        if (!parameter || m_parameters == Parameters::kept) keep(value);
    }
}

void KeptState::keep(const IValue& value) {
    if (value.isTensor() && value.toTensor().defined()) {
        const at::Tensor& tensor = value.toTensor();
        const auto [known, is_new] = m_tensors.try_emplace(tensor.unsafeGetTensorImpl());
        if (is_new) known->second = {tensor, exact_copy(tensor)};
    } else if (is_container(value)) {
        const auto [known, is_new] = m_containers.try_emplace(value.internalToPointer());
        if (!is_new) return;
        auto elements = elements_of(value);
        known->second = {value, elements};
        for (const auto& element : elements)
            keep(element);
    } else if (value.isTuple()) {
        for (const auto& element : value.toTupleRef().elements())
            keep(element);
    } else if (value.isObject()) {
        keep(value.toObject(), "");
    }
}

void KeptState::restore() {
    const at::NoGradGuard no_gradients;
    for (const auto& slot : m_slots)
        slot.owner->setSlot(slot.place, slot.value);
    for (const auto& [pointer, container] : m_containers) {
        const auto now = elements_of(container.first);
        const auto& before = container.second;
        const bool same = std::equal(now.begin(), now.end(), before.begin(), before.end(),
                                     [](const IValue& a, const IValue& b) { return a.is(b); });
        if (!same) fill(container.first, before);
    }
    for (const auto& [pointer, kept] : m_tensors) {
        // What was changed in place by what has gradients has some since, and a graph behind it.
        if (!kept.first.is_leaf() && !kept.first.is_view()) kept.first.detach_();
        give_bytes(kept.first, kept.second);
    }
}

bool KeptState::is_as_before(const IValue& now, const IValue& before) const {
    if (now.tagKind() != before.tagKind()) return false;
    if (now.isTensor()) {
        const at::Tensor& tensor = now.toTensor();
        if (tensor.defined() != before.toTensor().defined()) return false;
        if (!tensor.defined()) return true;
        const auto kept = m_tensors.find(before.toTensor().unsafeGetTensorImpl());
        if (kept == m_tensors.end()) return tensor.is_same(before.toTensor());
        return same_form(tensor, kept->second.second) && same_bytes(tensor, kept->second.second);
    }
    const auto all_as_before = [&](const auto& a, const auto& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [&](const IValue& x, const IValue& y) { return is_as_before(x, y); });
    };
    if (is_container(now)) {
        const auto kept = m_containers.find(before.internalToPointer());
        return kept != m_containers.end() && all_as_before(elements_of(now), kept->second.second);
    }
    if (now.isTuple()) return all_as_before(now.toTupleRef().elements(), before.toTupleRef().elements());
    if (now.isScalar() || now.isString()) return now.is(before) || now.equals(before).toBool();
    return now.is(before);
}

std::vector<KeptState::Change> KeptState::changes() const {
    std::vector<Change> found;
    for (const auto& slot : m_slots) {
        const IValue& value = slot.owner->getSlot(slot.place);
        if (!is_as_before(value, slot.value))
            found.push_back({slot.name, slot.parameter, with_tensors(value, exact_copy)});
    }
    return found;
}

IValue KeptState::now(const std::string& name) const {
    const auto slot =
        std::find_if(m_slots.begin(), m_slots.end(), [&](const Slot& one) { return one.name == name; });
    if (slot == m_slots.end()) return {};
    return with_tensors(slot->owner->getSlot(slot->place), exact_copy);
}

}  // namespace kernels::torchscript
