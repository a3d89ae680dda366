// What libtorch's compiler or its optimizer would make other values of, computed as Python does.
#include <sstream>

#include "package_layer.hpp"

using namespace kernels;
using namespace kernels::torchscript;

namespace {

// Saved and loaded again, and called until libtorch has optimized it.
at::Tensor after_optimizing(const std::string& statements, const at::Tensor& input, bool frozen = false) {
    const testing::TemporaryFolder folder;
    write_package(folder, {{"layers.py", head + statements}});
    auto layer = plain_layer();
    layer.register_attribute("training", c10::BoolType::get(), false);
    layer.register_attribute("one", c10::IntType::get(), 1);
    const CompileOptions options{op_namespace, {}, {}, std::vector<c10::TypePtr>{c10::TensorType::get()}};
    compile_method(layer, layer.type(), "forward", HubModule::load(folder.path(), false).layer("L").forward,
                   options);
    std::stringstream file;
    layer.save(file);
    auto loaded = torch::jit::load(file);
    if (frozen) loaded = torch::jit::freeze(loaded);
    at::Tensor result;
    for (int i = 0; i < 3; ++i)
        result = loaded.forward({input.clone()}).toTensor();
    return result;
}

}  // namespace

TEST_CASE("Bools times 1 and plus 0 are numbers") {
    const auto ones = torch::tensor({0, 0, 2, 2}, at::kLong);
    for (const char* expression : {"(x > 0) * 1",
                                   "(x > 0) + 0",
                                   "1 * (x > 0)",
                                   "0 + (x > 0)",
                                   "(~(x <= 0)) * 1",
                                   "((x > 0) & (x < 9)) * 1",
                                   "((x > 0) | (x > 5)) + 0",
                                   "(x > 0).view(2, 2).t().t().reshape(4) * 1",
                                   "(x > 0).expand(4).detach().contiguous().clone() + 0",
                                   "torch.stack([x > 0, x > 5])[0] * 1",
                                   "(x.flip(0) > 0).flip(0) * 1",
                                   "torch.cat([x[:2] > 0, x[2:] > 0]) * 1",
                                   "(x > 0).to(torch.bool) * 1",
                                   "x.new_zeros(4, dtype=torch.bool).logical_or(x > 0) * 1",
                                   "((x > 0) if x.dim() == 1 else (x > 1)) * 1",
                                   "(x > 0).mul(1)",
                                   "(x > 0).multiply(1)",
                                   "torch.add(x > 0, 0)",
                                   "torch.mul(x > 0, other=1)",
                                   "(x > 0) * self.one",
                                   "(x > 0) + (self.one - 1)",
                                   "(x > 0) * len([x])",
                                   "(x > 0) * [1, 2][0]",
                                   "(x > 0) * int(True)",
                                   "(x > 0) * x.dim()"}) {
        for (const bool frozen : {false, true}) {
            INFO(expression, frozen);
            const auto got =
                after_optimizing(std::string("    n = ") + expression + "\n    return n + n\n", x, frozen);
            CHECK((got.scalar_type() == at::kLong));
            CHECK(got.equal(ones));
        }
    }
    const auto loop =
        "    n = x > 0\n    s = n + 0\n    for i in range(2):\n      s = s + n * (i + 1)\n"
        "    return s\n";
    CHECK(after_optimizing(loop, x).equal((x > 0).to(at::kLong) * 4));
    CHECK(after_optimizing("    return (x > 0) * 1.0\n", x).equal((x > 0).to(at::kFloat)));
}

TEST_CASE("Other tensors times 1 and plus 0 are what they were") {
    const auto signs = torch::tensor({-0.0, 0.0, double(NAN), -2.5}, at::kDouble);
    for (const auto type : {at::kDouble, at::kHalf, at::kInt, at::kByte, at::kComplexFloat}) {
        const auto input = (type == at::kInt || type == at::kByte) ? x.abs().to(type) : signs.to(type);
        const auto same = [&](const std::string& expression) {
            const auto got = after_optimizing("    return " + expression + "\n", input);
            return got.scalar_type() == type && got.allclose(input, 0, 0, true);
        };
        CHECK(same("x * 1"));
        CHECK(same("1 * x"));
        CHECK(same("x + 0"));
        CHECK(same("x - 0"));
        CHECK(same("x * self.one"));
    }
    CHECK(after_optimizing("    return x * 1\n", signs).signbit().equal(signs.signbit()));
    auto grown = signs.clone().nan_to_num().requires_grad_();
    body("    return x * 1 + (x + 0)\n", grown).sum().backward();
    CHECK(grown.grad().equal(torch::full({4}, 2.0, at::kDouble)));
}

TEST_CASE("A view with a dtype has the same memory") {
    const auto floats = torch::arange(24, at::kFloat).view({4, 6});
    const auto as = [](const std::string& expression, const at::Tensor& input) {
        return body("    return " + expression + "\n", input);
    };
    const auto equal = [](const at::Tensor& got, const at::Tensor& wanted) {
        return got.scalar_type() == wanted.scalar_type() && got.strides() == wanted.strides() &&
               got.data_ptr() == wanted.data_ptr() && got.equal(wanted);
    };
    for (const auto& input : {floats, floats.t(), floats.slice(0, 1), floats.slice(1, 2, 4), floats[1],
                              floats[0].expand({3, 6}), floats.slice(0, 0, 0)}) {
        CHECK(equal(as("x.view(torch.int32)", input), input.view(at::kInt)));
        CHECK(equal(as("x.view(dtype=torch.int32)", input), input.view(at::kInt)));
        CHECK(equal(as("x.view(x.dtype)", input), input));
        if (input.stride(-1) != 1) continue;
        CHECK(equal(as("x.view(torch.uint8)", input), input.view(at::kByte)));
        CHECK(equal(as("x.view(torch.bfloat16)", input), input.view(at::kBFloat16)));
        if (input.size(-1) == 6 && input.storage_offset() % 2 == 0)
            CHECK(equal(as("x.view(torch.float64)", input), input.view(at::kDouble)));
    }
    const std::string helper = "def as_int(x, d=torch.int32):\n  return x.view(d) if x.dtype != d else x\n";
    const auto with_helper = [&](const std::string& call) {
        return run({{"layers.py", imports + helper +
                                      "class L(nn.Module):\n  def forward(self, x):\n    return " + call +
                                      "\n"}},
                   {x.to(at::kFloat)})
            .toTensor();
    };
    CHECK(with_helper("as_int(x)").equal(x.to(at::kFloat).view(at::kInt)));
    CHECK(with_helper("as_int(x, torch.uint8)").equal(x.to(at::kFloat).view(at::kByte)));
    CHECK(body("    d = torch.int16 if x.dim() == 1 else torch.uint8\n    return x.view(d)\n", floats[0])
              .equal(floats[0].view(at::kShort)));
    CHECK(after_optimizing("    return x.view(torch.int32) + 1\n", floats).equal(floats.view(at::kInt) + 1));
    CHECK_THROWS(as("x.view(torch.float64)", torch::ones({3}, at::kFloat)));
    CHECK_THROWS(as("x.view(torch.uint8)", floats.t()));
    CHECK(as("x.view(torch.int32)", torch::empty({0, 6}).slice(1, 2)).sizes() == at::IntArrayRef({0, 4}));
    // Among numbers that are equal to the dtype's.
    CHECK(as("x[:, 2:].view(torch.int16)", floats).equal(floats.slice(1, 2).view(at::kShort)));
    CHECK(with_helper("as_int(x[1:], torch.uint8)").equal(x.to(at::kFloat).slice(0, 1).view(at::kByte)));
    // libtorch would not see it.
    for (const char* statements :
         {"    y = x.clone()\n    y.view(torch.uint8).zero_()\n    return y\n",
          "    y = x.clone()\n    z = y.view(torch.int32)\n    y.add_(1)\n    return z\n"})
        CHECK(refused({{"layers.py", head + statements}}).find("changed in place") != std::string::npos);
}

TEST_CASE("What is in a dictionary is changed in its place") {
    const auto gives = [](const std::string& statements) { return body(statements, x.clone()); };
    CHECK(gives("    acc = {'s': torch.zeros_like(x)}\n    s = acc['s']\n    for i in range(3):\n"
                "      acc['s'] += x\n    return s\n")
              .equal(x * 3));
    CHECK(gives("    d = {'a': x}\n    d['a'] += 2\n    return x * 1\n").equal(x + 2));
    CHECK(gives("    d = {'a': x}\n    d['a'] -= 2\n    return x\n").equal(x - 2));
    CHECK(gives("    d = {'a': x}\n    d['a'] *= x\n    return x\n").equal(x * x));
    CHECK(gives("    d = {'a': x}\n    k = 'a'\n    d[k] /= 2\n    return x\n").equal(x / 2));
    CHECK(gives("    d = {1: x}\n    d[x.dim()] += 2\n    return x\n").equal(x + 2));
    CHECK(gives("    d = [{'a': x}]\n    d[0]['a'] += 2\n    return x\n").equal(x + 2));
    CHECK(
        gives("    d = {'a': [1]}\n    a = d['a']\n    d['a'] += [2]\n    return x * len(a)\n").equal(x * 2));
    CHECK(gives("    d = {'a': [1]}\n    a = d['a']\n    d['a'] *= 3\n    return x * len(a)\n").equal(x * 3));
    CHECK(gives("    d = {'a': 1}\n    d['a'] += 2\n    return x * d['a']\n").equal(x * 3));
    // A sum that is written out is a new tensor.
    CHECK(gives("    d = {'a': x}\n    d['a'] = d['a'] + 2\n    return x + d['a']\n").equal(x * 2 + 2));
    CHECK(gives("    d = {'a': x}\n    k = 'a'\n    d[k] = d[k] + 2\n    return x\n").equal(x));
}
