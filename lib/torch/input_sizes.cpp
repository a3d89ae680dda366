#include "input_sizes.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "graph_calls.hpp"
#include "tensors_in.hpp"

namespace kernels::torchscript {
namespace {

using Values = std::vector<c10::IValue>;
using Places = std::set<Extent>;

// Larger inputs and results cost time, and memory, as there are some twenty copies of them.
constexpr int64_t most_bytes = int64_t{9} << 19;
constexpr int64_t most_long_bytes = 1 << 20;  // the same for the longest
constexpr std::size_t most_tensors = 8;

// Longer than usual blocks of a kernel, by one where odd ones may be.
constexpr int64_t longer = 1025;
constexpr int64_t longer_and_even = 1026;
constexpr std::array<int64_t, 2> longer_of_large{521, 259};  // where those would take long
// Shorter than a block by one.
constexpr int64_t shorter_by_one = 127;
// More than some thousand threads or blocks take, with more elements than 16 bits count: of narrow rows more.
constexpr int64_t many_rows = 4099;
constexpr int64_t many_narrow_rows = 8199;
constexpr int64_t narrow = 16;

int64_t bytes_of_largest(const Values& values) {
    constexpr int64_t least = sizeof(float);  // narrow ones become float32 and float64 too
    int64_t bytes = 1;
    for (const auto& tensor : tensors_in(values))
        bytes =
            std::max(bytes, tensor.numel() * std::max(least, static_cast<int64_t>(tensor.element_size())));
    return bytes;
}

class Sizes {
  public:
    Sizes(const Values& arguments, const Values& results, const Accepts& accepts, Amount amount,
          std::vector<InputCase>& cases)
        : m_arguments(arguments),
          m_tensors(tensors_in(arguments)),
          m_accepts(accepts),
          m_amount(amount),
          m_cases(cases) {
        m_bytes = std::max(bytes_of_largest(arguments), bytes_of_largest(results));
    }

    void add() {
        for (std::size_t tensor = 0; tensor < std::min(m_tensors.size(), most_tensors); ++tensor) {
            for (int64_t dim = 0; dim < m_tensors[tensor].dim(); ++dim)
                add_for({tensor, dim});
        }
        if (m_amount != Amount::one_size) add_single_row();
    }

  private:
    bool is_many() const { return m_amount >= Amount::many_even_sizes; }
    int64_t size(const Extent& at) const { return m_tensors[at.tensor].size(at.dim); }
    int64_t from_end(const Extent& at) const { return m_tensors[at.tensor].dim() - at.dim; }
    bool is_last(const Extent& at) const { return from_end(at) == 1; }

    bool is_rows(const Extent& at) const { return at.dim == 0 && !is_last(at); }
    bool is_sequence(const Extent& at) const {
        return is_last(at) && at::isIntegralType(m_tensors[at.tensor].scalar_type(), true);
    }

    template <typename Condition>
    Places equal_extents(const Extent& at, Condition condition) const {
        Places places;
        for (std::size_t tensor = 0; tensor < m_tensors.size(); ++tensor) {
            for (int64_t dim = 0; dim < m_tensors[tensor].dim(); ++dim) {
                const Extent other{tensor, dim};
                if (size(other) == size(at) && condition(other)) places.insert(other);
            }
        }
        places.insert(at);
        return places;
    }

    bool is_kind_of(const Extent& other, const Extent& at) const { return is_last(other) == is_last(at); }

    Places together(const Extent& at) const {
        return equal_extents(at, [&](const Extent& other) { return is_kind_of(other, at); });
    }

    // What may have to change with the extent, the least first.
    std::vector<Places> candidates(const Extent& at) const {
        const auto leading = [&](const Extent& other) { return other.dim == at.dim; };
        // An extent of 1 is broadcast: by itself it can nearly always change, and no model does that.
        if (size(at) == 1 && m_tensors.size() > 1) {
            if (at.dim > 0) return {};
            return {equal_extents(at, leading), together(at)};
        }
        const auto trailing = [&](const Extent& other) { return from_end(other) == from_end(at); };
        const auto bound = [&](const Extent& other) { return !m_free.contains(other); };
        return {{at},
                equal_extents(at, [&](const Extent& other) { return trailing(other) && bound(other); }),
                equal_extents(at, [&](const Extent& other) { return leading(other) && bound(other); }),
                equal_extents(at, trailing),
                equal_extents(at, leading),
                together(at),
                equal_extents(at, [](const Extent&) { return true; })};
    }

    // Bytes of the largest input or result, about, where these extents are others.
    double bytes_with(const Places& places, int64_t from, int64_t to) const {
        std::map<std::size_t, int> extents;  // of each tensor
        int most = 1;
        for (const auto& place : places)
            most = std::max(most, ++extents[place.tensor]);
        return static_cast<double>(m_bytes) *
               std::pow(static_cast<double>(to) / static_cast<double>(from), most);
    }

    bool may_be(const Places& places, int64_t from, int64_t to) const {
        return from != to && from > 0 && to >= 0 && bytes_with(places, from, to) <= most_bytes;
    }

    // The arguments with other values of the given sizes.
    Values with_size(const Places& places, int64_t size) const {
        return with_numbered_tensors(m_arguments, [&](const at::Tensor& value, std::size_t tensor) {
            auto sizes = value.sizes().vec();
            for (const auto& place : places)
                if (place.tensor == tensor) sizes[static_cast<std::size_t>(place.dim)] = size;
            return resampled(value, sizes);
        });
    }

    InputCase resized(const Extent& at, const Places& places, int64_t to) const {
        const int64_t from = size(at);
        const bool rows = at.dim == 0 && m_tensors[at.tensor].dim() > 1;
        InputCase one;
        one.name = "inputs with " + std::to_string(to) +
                   (rows          ? " rows"
                    : is_last(at) ? " columns"
                                  : " inner rows") +
                   " in the place of " + std::to_string(from);
        if (at.tensor > 0 || (at.dim > 1 && !is_last(at)))
            one.name +=
                " (dimension " + std::to_string(at.dim) + " of tensor " + std::to_string(at.tensor + 1) + ")";
        one.arguments = with_size(places, to);
        one.resize = Resize{from, to, is_last(at)};
        // The model always gives equal ones, and may have to; and its weights fix most last dimensions, but
        // not those of whole numbers, which are positions in sequences of any length.
        const bool is_width = is_last(at) && !is_sequence(at);
        one.may_be_refused = places.size() < together(at).size() || (is_many() && is_width);
        return one;
    }

    bool is_taken(const Extent& at, const Places& places, int64_t to) const {
        return may_be(places, size(at), to) && m_accepts(resized(at, places, to));
    }

    // A size that the original takes.
    std::optional<int64_t> accepted(const Extent& at, const Places& places) const {
        const int64_t from = size(at);
        const auto tries = is_last(at) ? std::vector<int64_t>{from + 2, 2 * from}  // widths stay even
                                       : std::vector<int64_t>{from + 3, from - 1, 2 * from};
        for (const int64_t to : tries) {
            if (to > 0 && is_taken(at, places, to)) return to;
            if (m_amount == Amount::one_size) break;
        }
        return std::nullopt;
    }

    // Beside the one that was accepted.
    std::vector<int64_t> sizes_for(const Extent& at) const {
        const int64_t from = size(at);
        const bool first = at.tensor == 0 && at.dim == 0 && !is_last(at);
        if (m_amount == Amount::one_size || (m_amount == Amount::some_sizes && !first)) return {};
        if (m_amount == Amount::some_sizes) return {1};
        if (is_last(at)) return {2, from + 2, 2 * from};
        return first ? std::vector<int64_t>{1, 0, from + 1} : std::vector<int64_t>{1, 0};
    }

    // Longer than a kernel's block, last: what fails for any other size is told with one that is near.
    std::vector<int64_t> long_sizes_for(const Extent& at, const Places& places) const {
        if (!is_many()) return {};
        std::vector<int64_t> sizes;
        if (!is_last(at)) {
            sizes = {67, shorter_by_one, longer};
        } else if (m_amount == Amount::many_sizes) {
            sizes = {shorter_by_one, longer};
        } else {
            sizes = {longer_and_even};
        }
        const int64_t each = m_tensors[at.tensor].numel() / size(at);
        if (is_rows(at)) sizes.push_back(each < narrow ? many_narrow_rows : many_rows);
        // Once for each extent, alone where it can be: the square of a long one takes time.
        const bool again = m_covered.contains(at);
        std::erase_if(sizes, [&](int64_t to) {
            return to >= longer && (again || bytes_with(places, size(at), to) > most_long_bytes);
        });
        if (is_last(at) || again || sizes.back() >= longer) return sizes;
        const auto some = std::find_if(longer_of_large.begin(), longer_of_large.end(),
                                       [&](int64_t to) { return is_taken(at, places, to); });
        if (some != longer_of_large.end()) sizes.push_back(*some);
        return sizes;
    }

    // Tables of positions end somewhere.
    std::optional<int64_t> longest_sequence(const Extent& at, const Places& places) const {
        if (!is_many() || !is_sequence(at) || m_covered.contains(at)) return std::nullopt;
        for (const int64_t to : {2048, 1024, 512, 256, 128, 64}) {
            if (to > size(at) && is_taken(at, places, to)) return to;
        }
        return std::nullopt;
    }

    bool add(const Extent& at, const Places& places) {
        if (!m_tried.insert(places).second) return false;
        const auto found = accepted(at, places);
        if (!found) return false;
        auto sizes = sizes_for(at);
        if (std::find(sizes.begin(), sizes.end(), *found) == sizes.end()) sizes.push_back(*found);
        const auto long_sizes = long_sizes_for(at, places);
        sizes.insert(sizes.end(), long_sizes.begin(), long_sizes.end());
        if (const auto longest = longest_sequence(at, places)) sizes.push_back(*longest);
        for (const int64_t to : sizes)
            if (may_be(places, size(at), to)) m_cases.push_back(resized(at, places, to));
        return true;
    }

    void add_for(const Extent& at) {
        if (m_covered.contains(at) || size(at) == 0) return;
        for (const auto& places : candidates(at)) {
            if (!add(at, places)) continue;
            m_covered.insert(places.begin(), places.end());
            if (!is_last(at)) m_of_rows.push_back(places);
            if (places.size() == 1) m_free.insert(at);
            break;
        }
        // What the model does: equal ones stay equal.
        if (m_covered.contains(at)) add(at, together(at));
    }

    // A single row, as a model has that makes one token after the other: all that can be 1 at the same time.
    void add_single_row() {
        if (m_of_rows.size() < 2) return;
        Places places;
        for (const auto& some : m_of_rows)
            places.insert(some.begin(), some.end());
        InputCase one;
        one.name = "inputs with a single row";
        one.arguments = with_size(places, 1);
        one.single_row = true;
        m_cases.push_back(std::move(one));
    }

    const Values& m_arguments;
    std::vector<at::Tensor> m_tensors;
    const Accepts& m_accepts;
    Amount m_amount;
    std::vector<InputCase>& m_cases;
    int64_t m_bytes = 1;
    Places m_covered;
    Places m_free;  // those that the original takes other sizes of alone
    std::set<Places> m_tried;
    std::vector<Places> m_of_rows;  // those of dimensions other than the last that can change
};

bool is_made_of(int64_t number, int64_t extent) {
    constexpr int64_t no_end = int64_t{1} << 40;  // the end of slices
    if (number <= 0 || number >= no_end) return false;
    return std::abs(number - extent) <= 1 || (number > 2 && (number % extent == 0 || extent % number == 0));
}

void collect(const c10::IValue& value, std::set<int64_t>& numbers) {
    if (value.isInt()) {
        numbers.insert(value.toInt());
    } else if (value.isTensor()) {
        const at::Tensor& tensor = value.toTensor();
        if (tensor.defined() && tensor.dim() == 0 && at::isIntegralType(tensor.scalar_type(), false))
            numbers.insert(tensor.item<int64_t>());
    } else if (value.isList()) {
        for (const auto& element : value.toListRef())
            collect(element, numbers);
    } else if (value.isTuple()) {
        for (const auto& element : value.toTupleRef().elements())
            collect(element, numbers);
    }
}

void collect(const torch::jit::Block* block, std::set<int64_t>& numbers) {
    for (const torch::jit::Node* node : block->nodes()) {
        for (const torch::jit::Block* inner : node->blocks())
            collect(inner, numbers);
        if (node->kind() != torch::jit::prim::Constant) continue;
        if (const auto value = torch::jit::toIValue(node->output())) collect(*value, numbers);
    }
}

}  // namespace

bool may_be_doubled(const Values& arguments, const Values& results) {
    return 2 * std::max(bytes_of_largest(arguments), bytes_of_largest(results)) <= most_bytes;
}

void add_sizes(const Values& arguments, const Values& results, const Accepts& accepts, Amount amount,
               std::vector<InputCase>& cases) {
    Sizes(arguments, results, accepts, amount, cases).add();
}

bool follows_resize(at::IntArrayRef now, at::IntArrayRef before, const Resize& resize,
                    const std::set<int64_t>& numbers) {
    bool each = now != before;
    bool others = each;
    for (std::size_t dim = 0; dim < before.size(); ++dim) {
        const bool same = now[dim] == before[dim];
        each = each && (same || (before[dim] == resize.from && now[dim] == resize.to));
        others = others && (same || dim + 1 == before.size());
    }
    if (each || (resize.last && others && now.back() * resize.from == before.back() * resize.to)) return true;
    return std::none_of(numbers.begin(), numbers.end(),
                        [&](int64_t number) { return is_made_of(number, resize.from); });
}

bool halves_sizes(const torch::jit::Module& module) {
    static const std::set<c10::Symbol> halving{c10::aten::floordiv, c10::aten::floor_divide,
                                               c10::aten::chunk,    c10::aten::tensor_split,
                                               c10::aten::split,    c10::aten::split_with_sizes};
    bool halves = false;
    for (auto* graph : graphs_of(module)) {
        for_each_node(graph->block(), [&](const torch::jit::Node* node) {
            halves = halves || halving.contains(node->kind());
        });
    }
    return halves;
}

std::set<int64_t> numbers_in(const torch::jit::Module& module) {
    std::set<int64_t> numbers;
    for (const auto& part : module.modules()) {
        for (const auto& attribute : part.named_attributes(false))
            if (!attribute.value.isTensor()) collect(attribute.value, numbers);
        for (const auto& method : part.get_methods()) {
            if (method.function().isGraphFunction())
                collect(torch::jit::toGraphFunction(method.function()).graph()->block(), numbers);
        }
    }
    return numbers;
}

}  // namespace kernels::torchscript
