// Functions of torch.nn.functional, torch.tensor and tensor methods that TorchScript has not by their names.
#include <torch/torch.h>

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
    CHECK(given("x * x.nelement()", wide).equal(wide * 4));
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
