// The inputs that --verify makes: masks, whole numbers, sizes.
#include <torch/script.h>

#include "torch_doctest.hpp"

#include <string>

#include "kernels/torch/verify.hpp"
#include "torch/input_masks.hpp"
#include "torch/input_sizes.hpp"
#include "torch/whole_numbers.hpp"

using namespace kernels::torchscript;

namespace {

using Values = std::vector<c10::IValue>;

// The one argument of the case that has this in its name.
torch::Tensor in_case(const std::vector<InputCase>& cases, const std::string& name) {
    for (const auto& one : cases)
        if (one.name.find(name) != std::string::npos) return one.arguments.at(0).toTensor();
    return {};
}

torch::jit::Module module_of(const std::string& forward) {
    torch::jit::Module module("Table");
    module.register_parameter("weight", torch::randn({40, 4}), false);
    module.define(forward);
    return module;
}

}  // namespace

TEST_CASE("Numbers that are zero and one alone are flags") {
    CHECK(is_flags(torch::ones({2, 3}, torch::kLong)));
    CHECK(is_flags(torch::tensor({0.0, 1.0, -0.0})));
    CHECK(is_flags(torch::zeros({2}, torch::kBool)));
    CHECK(!is_flags(torch::tensor({0, 1, 2})));
    CHECK(!is_flags(torch::tensor({0.5})));
    CHECK(!is_flags(torch::tensor(1)));
    CHECK(!is_flags(torch::ones({0})));
}

TEST_CASE("Masks of every dtype get other flags, padding on both sides and rows without any") {
    torch::manual_seed(0);
    for (const auto dtype : {torch::kBool, torch::kLong, torch::kInt, torch::kFloat}) {
        for (const auto& sizes : {std::vector<int64_t>{6, 9}, {2, 3, 9}, {6, 9, 1}}) {
            std::vector<InputCase> cases;
            add_masks(Values{torch::ones(sizes, dtype)}, false, cases);
            REQUIRE(cases.size() == 4);
            const auto flags = [&](const char* name) {
                const auto mask = in_case(cases, name);
                CHECK((mask.scalar_type() == dtype));
                CHECK(mask.sizes().equals(sizes));
                return mask.ne(0).reshape({6, 9});
            };
            const auto other = flags("other flags");
            CHECK(other.select(1, 0).all().item<bool>());
            CHECK(!other.all().item<bool>());
            const auto left = flags("padded on the left").to(torch::kLong);
            CHECK(left.diff().ge(0).all().item<bool>());
            CHECK(left.select(1, 8).all().item<bool>());
            CHECK(left.select(1, 0).eq(0).all().item<bool>());
            const auto right = flags("padded on the right").to(torch::kLong);
            CHECK(right.diff().le(0).all().item<bool>());
            CHECK(right.select(1, 0).all().item<bool>());
            CHECK(!flags("without any flag").any(1)[0].item<bool>());
        }
    }
    std::vector<InputCase> cases;
    add_masks(Values{torch::rand({4, 4})}, false, cases);
    CHECK(cases.empty());
}

TEST_CASE("The largest number that is taken is found by trying") {
    int tries = 0;
    const auto below = [&](int64_t end) {
        return [&tries, end](int64_t number) {
            ++tries;
            return number < end;
        };
    };
    CHECK(largest_taken(below(3000), 1, {16, 3000, 9000}, false) == 2999);
    CHECK(tries < 8);
    CHECK(largest_taken(below(151936), 1, {16, 151936}, false) == 151935);
    CHECK(largest_taken(below(41), 1, {16}, true) == 40);
    CHECK(largest_taken(below(2), 1, {16}, true) == 1);
    CHECK(!largest_taken(below(41), 1, {16}, false));
    CHECK(!largest_taken(below(int64_t{1} << 60), 1, {16, 3000}, true));
}

TEST_CASE("Whole numbers are those that a table has, whatever the class of the module is called") {
    for (const std::string forward :
         {"def forward(self, ids: Tensor) -> Tensor:\n    return self.weight[ids]\n",
          "def forward(self, x: Tensor, ids: Tensor) -> Tensor:\n"
          "    return x * self.weight[ids]\n"}) {
        const auto inputs = infer_inputs(module_of(forward), {}, 0);
        REQUIRE(inputs.has_value());
        const auto ids = inputs->back().toTensor();
        CHECK((ids.scalar_type() == torch::kLong));
        CHECK(ids.min().item<int64_t>() == 0);
        CHECK(ids.max().item<int64_t>() == 39);
    }
}

TEST_CASE("Given whole numbers are others in the range that the original takes") {
    std::vector<InputCase> cases;
    const auto end = [](const InputCase& one) {
        const auto ids = one.arguments.at(0).toTensor();
        return ids.ge(-40).logical_and(ids.lt(40)).all().item<bool>();
    };
    add_whole_numbers(Values{torch::tensor({3, 4, 3, 4, 3, 4})}, end, {40}, {}, cases);
    const auto range = in_case(cases, "whole numbers from 0 to 39");
    REQUIRE(range.defined());
    CHECK(range.min().item<int64_t>() == 0);
    CHECK(range.max().item<int64_t>() == 39);
    CHECK(in_case(cases, "from 1000").defined() == false);
    cases.clear();
    // Where 0 is not taken, from the least that was given.
    const auto positive = [&](const InputCase& one) {
        return end(one) && one.arguments.at(0).toTensor().gt(0).all().item<bool>();
    };
    add_whole_numbers(Values{torch::tensor({3, 4, 3, 4, 3, 4})}, positive, {}, {}, cases);
    CHECK(in_case(cases, "whole numbers from 3 to 39").defined());
}

TEST_CASE("Sizes hold odd ones and ones longer than a block, but no odd ones for code that halves sizes") {
    const auto all = [](const InputCase&) { return true; };
    std::vector<InputCase> cases;
    add_sizes(Values{torch::rand({2, 16, 32})}, {}, all, Amount::many_sizes, cases);
    CHECK(in_case(cases, "127 columns").defined());
    CHECK(in_case(cases, "1025 columns").defined());
    CHECK(in_case(cases, "1025 inner rows").defined());
    for (const auto& one : cases)
        if (one.resize) CHECK(one.may_be_refused == one.resize->last);
    cases.clear();
    add_sizes(Values{torch::rand({2, 16, 32})}, {}, all, Amount::many_even_sizes, cases);
    CHECK(in_case(cases, "1026 columns").defined());
    for (const auto& one : cases)
        if (one.resize && one.resize->last) CHECK(one.resize->to % 2 == 0);
    const auto halves = [](const std::string& code) {
        return halves_sizes(module_of("def forward(self, x: Tensor) -> Tensor:\n    return " + code + "\n"));
    };
    CHECK(halves("x[..., :x.size(-1) // 2]"));
    CHECK(halves("torch.chunk(x, 2, -1)[0]"));
    CHECK(!halves("torch.softmax(x, -1)"));
}

TEST_CASE("Sequences that are too large at 1025 are tried at less") {
    std::vector<InputCase> cases;
    const auto all = [](const InputCase&) { return true; };
    add_sizes(Values{torch::rand({1, 16, 768})}, {}, all, Amount::many_sizes, cases);
    CHECK(in_case(cases, "521 inner rows").defined());
    CHECK(!in_case(cases, "1025 inner rows").defined());
    cases.clear();
    const auto few = [](const InputCase& one) { return one.arguments.at(0).toTensor().size(1) < 300; };
    add_sizes(Values{torch::rand({1, 16, 768})}, {}, few, Amount::many_sizes, cases);
    CHECK(in_case(cases, "259 inner rows").defined());
}

TEST_CASE("Where two sizes change together, inputs grow by both") {
    std::vector<InputCase> cases;
    const auto together = [](const InputCase& one) {
        const auto x = one.arguments.at(0).toTensor();
        return x.size(0) == x.size(1);
    };
    add_sizes(Values{torch::rand({2, 2, 1024})}, {}, together, Amount::many_sizes, cases);
    CHECK(cases.size() > 3);
    for (const auto& one : cases)
        CHECK(one.arguments.at(0).toTensor().nbytes() < 5UL << 20);
}

TEST_CASE("Sequences of whole numbers are as long as the original takes them, and no layer refuses one") {
    const auto up_to_700 = [](const InputCase& one) {
        return one.arguments.at(0).toTensor().size(-1) <= 700;
    };
    std::vector<InputCase> cases;
    add_sizes(Values{torch::arange(32).reshape({2, 16})}, {}, up_to_700, Amount::many_sizes, cases);
    CHECK(in_case(cases, "512 columns").defined());
    CHECK(!in_case(cases, "2048 columns").defined());
    for (const auto& one : cases)
        if (one.resize && one.resize->last) CHECK(!one.may_be_refused);
}
