// A pre-norm transformer block: attention and a gated MLP, with RMSNorm before each.
#pragma once

#include <torch/torch.h>

#include "kernels/torch/native.hpp"

namespace demo {

using torch::Tensor;

struct PlainRMSNorm : torch::nn::Module {
    PlainRMSNorm(int64_t size, double epsilon)
        : weight(register_parameter("weight", 1 + 0.1 * torch::randn({size}))), variance_epsilon(epsilon) {}
    Tensor forward(const Tensor& x) {
        const auto variance = x.to(torch::kFloat).pow(2).mean(-1, true);
        return weight * (x * torch::rsqrt(variance + variance_epsilon)).to(x.dtype());
    }
    kernels::native::Attributes kernel_attributes() const { return {{"variance_epsilon", variance_epsilon}}; }

    Tensor weight;
    double variance_epsilon;
};
using RMSNormImpl = kernels::native::UseKernelForwardFromHub<PlainRMSNorm, "RMSNorm">;
TORCH_MODULE(RMSNorm);

struct PlainSiluAndMul : torch::nn::Module {
    Tensor forward(const Tensor& x) {
        const auto halves = x.chunk(2, -1);
        return torch::silu(halves[0]) * halves[1];
    }
};
using SiluAndMulImpl = kernels::native::UseKernelForwardFromHub<PlainSiluAndMul, "SiluAndMul">;
TORCH_MODULE(SiluAndMul);

struct BlockImpl : torch::nn::Module {
    BlockImpl(int64_t size, int64_t head_count)
        : heads(head_count),
          attention_norm(register_module("attention_norm", RMSNorm(size, 1e-5))),
          qkv(register_module("qkv", torch::nn::Linear(size, 3 * size))),
          project(register_module("project", torch::nn::Linear(size, size))),
          mlp_norm(register_module("mlp_norm", RMSNorm(size, 1e-5))),
          up(register_module("up", torch::nn::Linear(size, 4 * size))),
          activation(register_module("activation", SiluAndMul())),
          down(register_module("down", torch::nn::Linear(2 * size, size))) {}

    Tensor forward(const Tensor& input) {
        const auto shape = std::vector<int64_t>{input.size(0), input.size(1), heads, -1};
        const auto split = qkv(attention_norm(input)).chunk(3, -1);
        const auto mixed = torch::scaled_dot_product_attention(
            split[0].view(shape).transpose(1, 2), split[1].view(shape).transpose(1, 2),
            split[2].view(shape).transpose(1, 2), {}, 0.0, true);
        const auto x = input + project(mixed.transpose(1, 2).reshape_as(input));
        return x + down(activation(up(mlp_norm(x))));
    }

    int64_t heads;
    RMSNorm attention_norm;
    torch::nn::Linear qkv, project;
    RMSNorm mlp_norm;
    torch::nn::Linear up;
    SiluAndMul activation;
    torch::nn::Linear down;
};
TORCH_MODULE(Block);

/// The same block in TorchScript, with the same parameters.
torch::jit::Module script_block(const BlockImpl& block);

}  // namespace demo
