#include "pattern_matcher.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "folded_weight.hpp"
#include "module_at.hpp"

namespace kernels::torchscript {

using namespace torch::jit;

std::optional<IValue> constant_of(const Value* value) {
    if (auto constant = toIValue(value)) return constant;
    const Node* node = value->node();
    if (node->kind() != prim::ListConstruct && node->kind() != prim::TupleConstruct) return std::nullopt;
    std::vector<IValue> elements;
    for (const Value* input : node->inputs()) {
        auto element = constant_of(input);
        if (!element) return std::nullopt;
        elements.push_back(std::move(*element));
    }
    return c10::ivalue::Tuple::create(std::move(elements));
}

std::optional<std::string> attribute_name(const Value* value, const Value* self) {
    if (value == self) return "";
    if (value->node()->kind() != prim::GetAttr) return std::nullopt;
    const auto owner = attribute_name(value->node()->input(), self);
    if (!owner) return std::nullopt;
    return owner->empty() ? value->node()->s(attr::name) : *owner + "." + value->node()->s(attr::name);
}

namespace {

// Lists count as tuples of their elements.
std::vector<IValue> elements_of(const IValue& value) {
    if (value.isTuple()) return value.toTuple()->elements().vec();
    const auto list = value.toListRef();
    return list.vec();
}

bool is_sequence(const IValue& value) {
    return value.isTuple() || value.isList();
}

std::optional<c10::Scalar> as_number(const IValue& value) {
    if (value.isInt() || value.isDouble()) return value.toScalar();
    if (value.isTensor() && value.toTensor().defined() && value.toTensor().dim() == 0 &&
        !value.toTensor().is_complex() && value.toTensor().scalar_type() != at::kBool)
        return value.toTensor().item();
    return std::nullopt;
}

bool equal_constants(const IValue& one, const IValue& other) {
    if (one.isTensor() && other.isTensor()) {
        const auto& a = one.toTensor();
        const auto& b = other.toTensor();
        return a.defined() == b.defined() && (!a.defined() || (a.scalar_type() == b.scalar_type() &&
                                                               a.device() == b.device() && a.equal(b)));
    }
    if (one.isTensor() != other.isTensor()) {
        const auto a = as_number(one);
        const auto b = as_number(other);
        return a && b && a->isIntegral(false) == b->isIntegral(false) && a->toDouble() == b->toDouble();
    }
    if (is_sequence(one) != is_sequence(other)) return false;
    if (!is_sequence(one)) return one.tagKind() == other.tagKind() && one == other;
    const auto a = elements_of(one);
    const auto b = elements_of(other);
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal_constants);
}

bool is_new_memory(const Value* value) {
    static const std::set<std::string> makers{"aten::empty", "aten::empty_like", "aten::new_empty",
                                              "aten::zeros", "aten::zeros_like"};
    return makers.contains(value->node()->kind().toQualString());
}

// Whether a node before `last` may change values that are there already. New memory that nothing else has
// seen is none of them: kernels write into such.
bool changes_values(const Node& node, const Node& last) {
    if (!node.blocks().empty() || node.kind() == prim::SetAttr || node.kind() == prim::CallMethod ||
        node.kind() == prim::CallFunction || node.hasSideEffects())
        return true;
    const auto* schema = node.maybeSchema();
    if (schema == nullptr || !schema->is_mutable()) return false;
    for (std::size_t i = 0; i < schema->arguments().size(); ++i) {
        const auto* alias = schema->arguments()[i].alias_info();
        if (alias == nullptr || !alias->isWrite()) continue;
        if (!is_new_memory(node.input(i))) return true;
        for (const auto& use : node.input(i)->uses()) {
            if (use.user != &node &&
                (use.user->owningBlock() != last.owningBlock() || !last.isBefore(use.user)))
                return true;
        }
    }
    return false;
}

// Whether the last step is the same, before anything else is looked at.
bool may_be(Value* pattern, Value* value) {
    const auto kind = value->node()->kind();
    if (kind == prim::Constant || without_conversions(value) != value) return false;
    return step_of(pattern).op == step_of(value).op;
}

bool same(const Value* one, const Value* other) {
    if (one == other) return true;
    const auto a = constant_of(one);
    const auto b = constant_of(other);
    return a && b && equal_constants(*a, *b);
}

}  // namespace

std::optional<IValue> Bound::constant() const {
    return value != nullptr ? toIValue(value) : std::optional(derived);
}

std::optional<Match> Matcher::match(Value* value) {
    m_match = {};
    m_block = value->node()->owningBlock();
    if (!fits(m_results.front(), value, Role::plain)) return std::nullopt;
    for (Value* result : m_results)
        if (!m_match.values.contains(result) && !find_also(result)) return std::nullopt;
    Node* last = value->node();
    for (Value* result : m_results) {
        m_match.results.push_back(m_match.values.at(result));
        Node* node = m_match.results.back()->node();
        if (node->owningBlock() != m_block) return std::nullopt;
        if (last->isBefore(node)) last = node;
    }
    m_match.last = last;
    if (m_match.nodes.empty() || is_disturbed() || is_used_before_last()) return std::nullopt;
    return std::move(m_match);
}

std::vector<Match> Matcher::find_in(Graph& graph) {
    std::vector<Match> found;
    find_in(graph.block(), found);
    return found;
}

void Matcher::find_in(Block* block, std::vector<Match>& found) {
    for (Node* node : block->nodes()) {
        for (Block* inner : node->blocks())
            find_in(inner, found);
        for (Value* value : node->outputs()) {
            if (!value->hasUses() || !may_be(m_results.front(), value)) continue;
            if (auto one = match(value)) found.push_back(*std::move(one));
        }
    }
}

// A further result, which is no step towards the first.
bool Matcher::find_also(Value* result) {
    const Match before = m_match;
    for (Node* node : m_block->nodes()) {
        for (Value* value : node->outputs()) {
            if (!may_be(result, value)) continue;
            if (fits(result, value, Role::plain)) return true;
            m_match = before;
        }
    }
    return false;
}

bool Matcher::fits(Value* pattern, Value* value, Role role) {
    std::vector<Node*> conversions;
    pattern = without_conversions(pattern);
    value = without_conversions(value, &conversions);
    const auto known = m_match.values.find(pattern);
    if (known != m_match.values.end()) {
        if (!same(known->second, value)) return false;
    } else if (!fits_anew(pattern, value, role)) {
        return false;
    } else if (!constant_of(pattern)) {  // which may be written in another way elsewhere
        m_match.values.emplace(pattern, value);
    }
    m_match.nodes.insert(conversions.begin(), conversions.end());
    return true;
}

bool Matcher::fits_anew(Value* pattern, Value* value, Role role) {
    if (pattern->node()->kind() == prim::Param) return value->type()->isSubtypeOf(*pattern->type());
    if (const auto name = attribute_name(pattern, m_self)) return fits_attribute(*name, pattern, value);
    const auto there = constant_of(value);
    if (const auto constant = constant_of(pattern)) return there && equal(*constant, *there, role);
    if (there && there->isTensor()) return fits_folded(pattern, there->toTensor());
    // Tracing writes the number that the tensor's dtype had.
    if (role == Role::dtype && pattern->node()->kind() == prim::dtype && there) return there->isInt();
    if (value->node()->kind() == prim::Param || there) return false;
    const Step wanted = step_of(pattern);
    const Step found = step_of(value);
    if (wanted.op != found.op || wanted.output != found.output ||
        wanted.operands.size() != found.operands.size() ||
        pattern->node()->outputs().size() != value->node()->outputs().size() ||
        value->node()->owningBlock() != m_block)
        return false;
    for (std::size_t i = 0; i < wanted.operands.size(); ++i)
        if (!fits(wanted.operands[i].value, found.operands[i].value, wanted.operands[i].role)) return false;
    m_match.nodes.insert(found.nodes.begin(), found.nodes.end());
    return true;
}

bool Matcher::equal(const IValue& pattern, const IValue& value, Role role) {
    if (equal_constants(pattern, value)) return true;
    const auto number = [&](const IValue& given, int64_t of_none) -> std::optional<int64_t> {
        if (given.isNone()) return of_none;
        return given.isInt() ? std::optional(given.toInt()) : std::nullopt;
    };
    switch (role) {
        case Role::begin:
            return number(pattern, 0) && number(pattern, 0) == number(value, 0);
        case Role::end: {
            constexpr int64_t largest = std::numeric_limits<int64_t>::max();
            return number(pattern, largest) && number(pattern, largest) == number(value, largest);
        }
        case Role::dimension:
            return same_dimensions(pattern, value);
        default:
            return false;
    }
}

// Dimensions counted from the end and from the start are the same for one number of dimensions, which all of
// a match must agree on.
bool Matcher::same_dimensions(const IValue& pattern, const IValue& value) {
    if (pattern.isInt() && value.isInt()) {
        const int64_t a = pattern.toInt();
        const int64_t b = value.toInt();
        if (a == b) return true;
        if ((a < 0) == (b < 0)) return false;
        const int64_t rank = std::abs(a - b);
        if (std::max(a, b) >= rank) return false;
        if (!m_match.rank) m_match.rank = rank;
        return m_match.rank == rank;
    }
    if (!is_sequence(pattern) || !is_sequence(value)) return false;
    const auto a = elements_of(pattern);
    const auto b = elements_of(value);
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](const IValue& x, const IValue& y) { return same_dimensions(x, y); });
}

bool Matcher::bind(const std::string& name, const Bound& bound) {
    const auto [known, is_new] = m_match.attributes.emplace(name, bound);
    if (is_new) return true;
    const Bound& before = known->second;
    if (before.value == bound.value && before.value != nullptr) return true;
    const auto a = before.constant();
    const auto b = bound.constant();
    return a && b && equal_constants(*a, *b);
}

bool Matcher::fits_attribute(const std::string& name, Value* pattern, Value* value) {
    const auto constant = toIValue(value);
    if (!constant && value->node()->kind() != prim::GetAttr) return false;
    if (constant && constant->isTensor() && pattern->type()->kind() == TypeKind::FloatType) {
        const auto number = as_number(*constant);
        return number && bind(name, {nullptr, number->toDouble()});
    }
    if (!value->type()->isSubtypeOf(*pattern->type())) return false;
    if (constant && constant->isTensor()) {
        const auto own = own_tensor(name);
        if (own && own->dim() != constant->toTensor().dim()) return false;
    }
    return bind(name, {value, {}});
}

// A constant that freezing made of an attribute.
bool Matcher::fits_folded(Value* pattern, const at::Tensor& constant) {
    const auto steps = steps_from_attribute(
        pattern, [&](const Value* value) { return attribute_name(value, m_self).has_value(); });
    if (!steps || !constant.defined()) return false;
    const auto name = attribute_name(steps->attribute, m_self).value();
    const auto own = own_tensor(name);
    if (!own || own->dim() != constant.dim()) return false;
    const auto attribute = unfolded(*steps, constant, own->scalar_type());
    return attribute && bind(name, {nullptr, *attribute});
}

std::optional<at::Tensor> Matcher::own_tensor(const std::string& name) const {
    if (name.empty()) return std::nullopt;
    const IValue own = attribute_at(m_reference, name);
    return own.isTensor() && own.toTensor().defined() ? std::optional(own.toTensor()) : std::nullopt;
}

bool Matcher::is_disturbed() const {
    const Node* first = m_match.last;
    for (const Node* node : m_match.nodes)
        if (node->isBefore(first)) first = node;
    for (const Node* node = m_match.last; node != first; node = node->prev())
        if (changes_values(*node, *m_match.last)) return true;
    return changes_values(*first, *m_match.last);
}

// The kernel gives all of its results at the place of the last.
bool Matcher::is_used_before_last() const {
    for (const Value* result : m_match.results) {
        for (const auto& use : result->uses()) {
            if (m_match.nodes.contains(use.user)) continue;
            const Node* user = use.user;
            while (user->owningBlock() != m_block)
                user = user->owningBlock()->owningNode();
            if (user->isBefore(m_match.last)) return true;
        }
    }
    return false;
}

}  // namespace kernels::torchscript
