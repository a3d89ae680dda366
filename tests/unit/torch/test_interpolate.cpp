// torch.nn.functional.interpolate beside what torch computes.
#include <torch/torch.h>

#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;
using kernels::testing::has;
namespace F = torch::nn::functional;

namespace {

at::Tensor interpolated(const std::string& arguments, const at::Tensor& input) {
    return body("    return F.interpolate(x, " + arguments + ")\n", input);
}

std::string said_of_scale(const std::string& arguments, const at::Tensor& input = torch::rand({1, 2, 4, 4})) {
    try {
        interpolated(arguments, input);
    } catch (const std::exception& error) {
        return error.what();
    }
    return "nothing was refused";
}

}  // namespace

TEST_CASE("F.interpolate in all modes, by sizes and factors") {
    using Options = F::InterpolateFuncOptions;
    const std::vector<at::Tensor> inputs{torch::rand({2, 3, 5}), torch::rand({2, 3, 5, 6}),
                                         torch::rand({1, 2, 4, 5, 3})};
    const std::vector<std::pair<std::string, Options::mode_t>> smooth{
        {"linear", torch::kLinear}, {"bilinear", torch::kBilinear}, {"trilinear", torch::kTrilinear}};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const auto& input = inputs[i];
        const std::vector<std::int64_t> sizes(i + 1, 7);
        const std::vector<double> scales(i + 1, 1.7);
        CAPTURE(i);
        CHECK(interpolated("7", input)
                  .equal(F::interpolate(input, Options().size(sizes).mode(torch::kNearest))));
        CHECK(interpolated("scale_factor=1.7", input)
                  .equal(F::interpolate(input, Options().scale_factor(scales).mode(torch::kNearest))));
        CHECK(interpolated("None, 2", input)
                  .equal(F::interpolate(
                      input, Options().scale_factor(std::vector<double>(i + 1, 2)).mode(torch::kNearest))));
        CHECK(interpolated("size=[d + 1 for d in x.shape[2:]], mode='nearest-exact'", input).sizes()[2] ==
              input.size(2) + 1);
        CHECK(interpolated("scale_factor=0.5, mode='area'", input)
                  .equal(F::interpolate(
                      input, Options().scale_factor(std::vector<double>(i + 1, 0.5)).mode(torch::kArea))));
        for (const bool corners : {false, true}) {
            const std::string text = corners ? ", align_corners=True" : "";
            const auto options = Options().mode(smooth[i].second).align_corners(corners);
            CHECK(interpolated("7, mode='" + smooth[i].first + "'" + text, input)
                      .equal(F::interpolate(input, Options(options).size(sizes))));
            CHECK(interpolated("scale_factor=1.7, mode='" + smooth[i].first + "'" + text, input)
                      .equal(F::interpolate(input, Options(options).scale_factor(scales))));
            CHECK(interpolated(
                      "scale_factor=1.7, recompute_scale_factor=True, mode='" + smooth[i].first + "'" + text,
                      input)
                      .equal(F::interpolate(
                          input, Options(options).scale_factor(scales).recompute_scale_factor(true))));
        }
    }
    const auto& image = inputs[1];
    CHECK(interpolated("(9, 4), mode='bicubic'", image)
              .equal(F::interpolate(image,
                                    Options().size(std::vector<std::int64_t>{9, 4}).mode(torch::kBicubic))));
    CHECK(interpolated("(9, 4), mode='bilinear', antialias=True", image)
              .equal(F::interpolate(
                  image,
                  Options().size(std::vector<std::int64_t>{9, 4}).mode(torch::kBilinear).antialias(true))));
    CHECK(interpolated("x.shape[-2:], mode='bilinear'", image).equal(image));
}

TEST_CASE("What F.interpolate refuses") {
    CHECK(has(said_of_scale("mode='nearest'"), "one of size and scale_factor must be given"));
    CHECK(has(said_of_scale("2, 2.0"), "one of size and scale_factor must be given"));
    CHECK(has(said_of_scale("[2]"), "size has another number of dimensions"));
    CHECK(
        has(said_of_scale("scale_factor=[2.0, 2.0, 2.0]"), "scale_factor has another number of dimensions"));
    CHECK(has(said_of_scale("2, align_corners=True"), "align_corners goes with linear modes alone"));
    CHECK(has(said_of_scale("2, mode='trilinear'"), "there is no such mode"));
    CHECK(has(said_of_scale("2, mode='nearest', antialias=True"), "antialias does not go with this mode"));
    CHECK(has(said_of_scale("2, recompute_scale_factor=True"),
              "recompute_scale_factor is for scale_factor alone"));
    CHECK(has(said_of_scale("'a'"), "layers.py:7: in `L.forward`: "));
}
