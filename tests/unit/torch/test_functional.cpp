// Functions of torch.nn.functional, torch.tensor and tensor methods that TorchScript has not by their names.
#include <torch/torch.h>

#include <cmath>

#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

at::Tensor given(const std::string& expression, const at::Tensor& input) {
    return body("    return " + expression + "\n", input);
}

}  // namespace

TEST_CASE("Activations and norms of torch.nn.functional") {
    const auto rows = torch::randn({3, 4, 5});
    CHECK(given("F.hardtanh(x)", rows).equal(at::hardtanh(rows)));
    CHECK(given("F.hardtanh(x, -2, max_val=0.5)", rows).equal(at::hardtanh(rows, -2, 0.5)));
    CHECK(given("F.threshold(x, 0.1, 20)", rows).equal(at::threshold(rows, 0.1, 20)));
    CHECK(given("F.celu(x, 0.5)", rows).equal(at::celu(rows, 0.5)));
    CHECK(given("F.selu(x) + F.hardsigmoid(x)", rows).equal(at::selu(rows) + at::hardsigmoid(rows)));
    CHECK(given("F.softsign(x)", rows).equal(rows / (rows.abs() + 1)));
    CHECK(given("F.tanhshrink(x)", rows).equal(rows - rows.tanh()));
    CHECK(given("F.softmin(x, dim=1)", rows).equal(at::softmax(-rows, 1)));
    CHECK(given("F.hardshrink(x, 0.3)", rows).equal(at::hardshrink(rows, 0.3)));
    CHECK(given("F.batch_norm(x, None, None, training=True)", rows)
              .equal(at::batch_norm(rows, {}, {}, {}, {}, true, 0.1, 1e-5, true)));
    CHECK(given("F.instance_norm(x)", rows)
              .equal(at::instance_norm(rows, {}, {}, {}, {}, true, 0.1, 1e-5, true)));
    CHECK_THROWS_WITH(given("F.batch_norm(x, None, None, training=True)", torch::rand({1, 4})),
                      doctest::Contains("more than one value for each channel"));
}

TEST_CASE("Poolings and windows of torch.nn.functional") {
    const auto images = torch::randn({2, 3, 6, 8});
    CHECK(given("F.max_pool1d(x, 2)", images[0]).equal(at::max_pool1d(images[0], 2)));
    CHECK(given("F.max_pool2d(x, kernel_size=(2, 3), stride=1, padding=1)", images)
              .equal(at::max_pool2d(images, {2, 3}, 1, 1)));
    CHECK(given("F.avg_pool2d(x, 2, count_include_pad=False)", images)
              .equal(at::avg_pool2d(images, 2, {}, 0, false, false)));
    CHECK(given("F.adaptive_avg_pool2d(x, 2)", images).equal(at::adaptive_avg_pool2d(images, {2, 2})));
    CHECK(given("F.adaptive_max_pool2d(x, (2, 3))", images)
              .equal(std::get<0>(at::adaptive_max_pool2d(images, {2, 3}))));
    CHECK(
        given("F.unfold(x, 2, stride=2)", images).equal(at::im2col(images, {2, 2}, {1, 1}, {0, 0}, {2, 2})));
    CHECK(given("F.fold(F.unfold(x, (2, 2)), (6, 8), 2)", images)
              .equal(at::col2im(at::im2col(images, {2, 2}, {1, 1}, {0, 0}, {1, 1}), {6, 8}, {2, 2}, {1, 1},
                                {0, 0}, {1, 1})));
    CHECK(given("F.grid_sample(x, torch.zeros(2, 4, 4, 2) + 0.3, mode='nearest', padding_mode='border')",
                images)
              .equal(at::grid_sampler(images, torch::zeros({2, 4, 4, 2}) + 0.3, 1, 1, false)));
}

TEST_CASE("Losses of torch.nn.functional") {
    const auto rows = torch::rand({3, 4});
    CHECK(given("F.mse_loss(x, x[:1])", rows).equal(at::mse_loss(rows, rows.slice(0, 0, 1).expand({3, 4}))));
    CHECK(given("F.mse_loss(x, x * 2, reduction='none')", rows).equal(at::mse_loss(rows, rows * 2, 0)));
    CHECK(given("F.l1_loss(x, x * 2, reduction='sum')", rows).equal(at::l1_loss(rows, rows * 2, 2)));
    CHECK(given("F.smooth_l1_loss(x, x * 2, beta=0.1)", rows)
              .equal(at::smooth_l1_loss(rows, rows * 2, 1, 0.1)));
    CHECK(given("F.smooth_l1_loss(x, x * 2, beta=0)", rows).equal(at::l1_loss(rows, rows * 2)));
    CHECK(given("F.huber_loss(x, x * 2, delta=0.2)", rows).equal(at::huber_loss(rows, rows * 2, 1, 0.2)));
    CHECK(given("F.binary_cross_entropy(x, x * 0.5, x[0])", rows)
              .equal(at::binary_cross_entropy(rows, rows * 0.5, rows[0].expand({3, 4}))));
    CHECK(given("F.binary_cross_entropy_with_logits(x, x * 0.5)", rows)
              .equal(at::binary_cross_entropy_with_logits(rows, rows * 0.5)));
    CHECK(given("F.kl_div(x, x * 0.5, reduction='batchmean')", rows)
              .equal(at::kl_div(rows, rows * 0.5, 2) / 3));
    CHECK(given("F.nll_loss(x, torch.tensor([0, 3, 1]), ignore_index=3)", rows)
              .equal(at::nll_loss(rows, torch::tensor({0, 3, 1}), {}, 1, 3)));
    CHECK_THROWS_WITH(given("F.mse_loss(x, x, reduction='no')", rows),
                      doctest::Contains("no reduction of a loss"));
    CHECK_THROWS_WITH(given("F.mse_loss(x, x, reduce=True)", rows),
                      doctest::Contains("size_average and reduce"));
}

TEST_CASE("Numbers become tensors without a detour by float32") {
    const auto wide = x.to(at::kDouble);
    const auto tenth = torch::tensor({0.1}, at::kDouble);
    CHECK(given("torch.tensor([0.1], dtype=x.dtype)", wide).equal(tenth));
    CHECK(given("torch.tensor(0.1, dtype=torch.float64)", x).equal(tenth[0]));
    CHECK(given("torch.tensor(data=[0.1], dtype=torch.float64)", x).equal(tenth));
    CHECK(given("torch.tensor([[0.1], [0.1]], dtype=torch.float64)", x).equal(tenth.expand({2, 1})));
    CHECK(given("torch.tensor([16777217.0], dtype=torch.int64)", x).item<std::int64_t>() == 16777217);
    CHECK(given("torch.tensor([0.1])", x).equal(torch::tensor({0.1F})));
    CHECK(given("x.new_tensor([0.1])", wide).equal(tenth));
    CHECK(given("x.new_tensor(3)", wide).equal(torch::tensor(3.0, at::kDouble)));
    CHECK(given("x.new_tensor([1.5], dtype=torch.int64)", wide).equal(torch::tensor({std::int64_t{1}})));
    CHECK(given("torch.tensor([1e-50, 0.0], dtype=torch.bool)", x).equal(torch::tensor({true, false})));
    CHECK(given("torch.tensor(1e-50, dtype=torch.bool)", x).item<bool>());
}

TEST_CASE("Tensors are made of lists as Python makes them") {
    CHECK(given("torch.tensor([1, 2.5])", x).equal(torch::tensor({1.0F, 2.5F})));
    CHECK(given("torch.tensor((x.shape[0], 2.5), dtype=torch.float64)", x)
              .equal(torch::tensor({4.0, 2.5}, at::kDouble)));
    CHECK(given("torch.tensor([[1, 2], [3, 4.5]])", x).equal(torch::tensor({{1.0F, 2.0F}, {3.0F, 4.5F}})));
    CHECK(given("x.new_tensor([1, 2.7], dtype=torch.int64)", x).equal(torch::tensor({1, 2})));
    CHECK_THROWS_WITH(given("torch.tensor([9007199254740993, 0.5], dtype=torch.int64)", x),
                      doctest::Contains("a whole number that is beyond theirs"));
    CHECK_THROWS_WITH(given("torch.tensor([True, 2.5])", x), doctest::Contains("of different types"));
    const auto none = torch::zeros({0, 4});
    const auto is = [](const at::Tensor& found, at::IntArrayRef sizes, at::ScalarType dtype) {
        CHECK(found.sizes() == sizes);
        CHECK((found.scalar_type() == dtype));
    };
    is(given("torch.tensor([i for i in range(x.shape[0])])", none), {0}, at::kFloat);
    is(given("torch.tensor([i > 0 for i in range(x.shape[0])])", none), {0}, at::kFloat);
    is(given("torch.tensor([[j for j in range(x.shape[0])] for i in range(2)])", none), {2, 0}, at::kFloat);
    is(given("torch.tensor([i for i in range(x.shape[0])], dtype=None)", none), {0}, at::kFloat);
    is(given("torch.tensor([i for i in range(x.shape[0])], dtype=torch.int64)", none), {0}, at::kLong);
    is(given("torch.tensor([i for i in range(x.shape[1])])", none), {4}, at::kLong);
    is(given("torch.tensor(x.shape)", none), {2}, at::kLong);
    is(given("x.new_tensor([i for i in range(x.shape[0])], dtype=None)", none), {0}, at::kFloat);
    CHECK(given("x.new_tensor(data=[1.0, 2.0])", x).equal(torch::tensor({1.0F, 2.0F})));
    CHECK(given("(x * 2).new_tensor([1])", x).equal(torch::ones({1})));
    CHECK(given("x * (x * 2).nelement() * x.nelement()", x).equal(x * 16));
    CHECK(given("(x * 2).bool()", x).equal(x != 0));
    CHECK((given("x.bfloat16()", x).scalar_type() == at::kBFloat16));
    CHECK_THROWS_WITH(given("x.new_tensor()", x), doctest::Contains("new_tensor takes its data"));
    CHECK_THROWS_WITH(given("x.shape.new_tensor([1])", x), doctest::Contains("which is no tensor"));
}

TEST_CASE("Whole numbers are given for floats") {
    const auto rows = torch::rand({3, 4});
    const auto ones = torch::ones({4});
    CHECK(given("F.pad(x, (1, 1), value=0)", rows).equal(at::constant_pad_nd(rows, {1, 1}, 0)));
    CHECK(given("F.pad(x, (1, 1), value=x.shape[0])", rows).equal(at::constant_pad_nd(rows, {1, 1}, 3)));
    CHECK(given("F.layer_norm(x, (4,), eps=1)", rows).equal(at::layer_norm(rows, {4}, {}, {}, 1)));
    CHECK(given("F.layer_norm(x, (4,), None, None, 1)", rows).equal(at::layer_norm(rows, {4}, {}, {}, 1)));
    CHECK(given("F.rms_norm(x, (4,), eps=1)", rows).equal(at::rms_norm(rows, {4}, {}, 1)));
    CHECK(given("F.group_norm(x, 2, eps=1)", rows).equal(at::group_norm(rows, 2, {}, {}, 1)));
    CHECK(given("F.pairwise_distance(x, x + 1, p=1)", rows).equal(at::pairwise_distance(rows, rows + 1, 1)));
    const auto heads = torch::rand({1, 1, 3, 4});
    CHECK(given("F.scaled_dot_product_attention(x, x, x, dropout_p=0, scale=1)", heads)
              .equal(at::scaled_dot_product_attention(heads, heads, heads, {}, 0, false, 1.0)));
    CHECK(given("F.dropout(x, p=0)", rows).equal(rows));
    CHECK(given("torch.nan_to_num(x / 0, posinf=1)", rows).equal(at::ones({3, 4})));
    CHECK_THROWS_WITH(given("F.layer_norm(x, (4,), eps='1')", rows), doctest::Contains("the argument eps"));
    CHECK(given("x.quantile(1, dim=1)", rows).equal(rows.amax(1)));
    CHECK(given("x.quantile(q=0, dim=1)", rows).equal(rows.amin(1)));
    CHECK(given("x.nan_to_num(0, 1, neginf=-1)", rows / 0).equal(ones.expand({3, 4})));
    CHECK(given("x.logit(0)", rows).equal(at::logit(rows, 0.0)));
    CHECK(given("x.isclose(x + 1, 1, 0)", rows).equal(at::isclose(rows, rows + 1, 1.0, 0.0)));
    CHECK(given("x.clone().uniform_(2, 2)", rows).equal(ones.expand({3, 4}) * 2));
    CHECK(given("x.quantile(torch.tensor([0.0, 1.0]), 1)", rows)
              .equal(at::stack({rows.amin(1), rows.amax(1)})));
    CHECK(given("x.quantile(0.5, -1)", rows).equal(at::quantile(rows, 0.5, -1)));
    // And what group_norm says of an input that has one value for each channel.
    CHECK_THROWS_WITH(given("F.group_norm(x, 4)", torch::rand({1, 4})),
                      doctest::Contains("more than one value"));
    CHECK(given("F.group_norm(x, 4)", torch::rand({1, 4, 2})).defined());
    CHECK(given("torch.group_norm(x, 4)", torch::rand({1, 4})).equal(torch::zeros({1, 4})));
}

TEST_CASE("F.interpolate takes whole numbers and floats for factors") {
    const auto image = torch::rand({1, 2, 4, 4});
    namespace F = torch::nn::functional;
    const auto expected = F::interpolate(
        image, F::InterpolateFuncOptions().scale_factor(std::vector<double>{2, 1.5}).mode(torch::kNearest));
    CHECK(given("F.interpolate(x, scale_factor=(2, 1.5))", image).equal(expected));
    CHECK(given("F.interpolate(x, scale_factor=[2, 1.5])", image).equal(expected));
    CHECK(given("F.interpolate(x, None, (2, 1.5))", image).equal(expected));
}

TEST_CASE("The norm of Python's torch, which needs no p") {
    const auto rows = torch::randn({3, 4, 5});
    const auto norm = [&](at::OptionalIntArrayRef dims, bool keep = false) {
        return at::linalg_vector_norm(rows, 2, dims, keep);
    };
    CHECK(given("torch.norm(x, dim=-1)", rows).equal(norm(-1)));
    CHECK(given("x.norm(dim=-1, keepdim=True)", rows).equal(norm(-1, true)));
    CHECK(given("x.norm(dim=(0, 2))", rows).equal(norm(at::IntArrayRef({0, 2}))));
    CHECK(given("torch.norm(x, 'fro', -1, True)", rows).equal(norm(-1, true)));
    CHECK(given("x.norm('fro')", rows).equal(norm(std::nullopt)));
    CHECK(given("x.norm(dim=-1, dtype=torch.float64)", rows)
              .equal(at::linalg_vector_norm(rows, 2, -1, false, at::kDouble)));
    CHECK(given("x.norm(1, dim=-1)", rows).equal(at::norm(rows, 1, {-1})));
    CHECK_THROWS_WITH(given("x.norm(dim=(0, 1, 2))", rows), doctest::Contains("at most two dimensions"));
    CHECK_THROWS_AS(given("x.norm(keepdim=True)", rows), Error);
    CHECK_THROWS_AS(given("x.norm(p='nuc', dim=(0, 1))", rows), Error);
}

TEST_CASE("math.log2 of constants is C's") {
    const auto one = torch::ones({1}, at::kDouble);
    const auto times = [&](const std::string& factor) {
        return body("    import math\n    return x * " + factor + "\n", one).item<double>();
    };
    CHECK(times("math.log2(8)") == 3);
    CHECK(times("math.log2(0.3)") == std::log2(0.3));
    CHECK_THROWS_WITH(times("math.log2(x.shape[0])"), doctest::Contains("of what is no constant"));
    CHECK_THROWS_WITH(times("math.log2(0)"), doctest::Contains("not positive"));
}
