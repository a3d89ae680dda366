#include "block.hpp"

namespace demo {
namespace {

torch::jit::Module linear(const torch::nn::Linear& layer) {
    torch::jit::Module module("__torch__.demo.Linear");
    module.register_parameter("weight", layer->weight, false);
    module.register_parameter("bias", layer->bias, false);
    module.define("def forward(self, x):\n    return torch.linear(x, self.weight, self.bias)\n");
    return module;
}

torch::jit::Module norm(const RMSNorm& layer) {
    torch::jit::Module module("__torch__.demo.RMSNorm");
    module.register_parameter("weight", layer->weight, false);
    module.register_attribute("variance_epsilon", c10::FloatType::get(), layer->variance_epsilon);
    module.define(R"(
def forward(self, x):
    variance = torch.mean(torch.pow(x, 2), [-1], True)
    return self.weight * (x * torch.rsqrt(variance + self.variance_epsilon))
)");
    return module;
}

}  // namespace

torch::jit::Module script_block(const BlockImpl& block) {
    torch::jit::Module activation("__torch__.demo.SiluAndMul");
    activation.define(R"(
def forward(self, x):
    d = x.shape[-1] // 2
    return torch.silu(x[..., :d]) * x[..., d:]
)");
    torch::jit::Module module("__torch__.demo.Block");
    module.register_attribute("heads", c10::IntType::get(), block.heads);
    module.register_module("attention_norm", norm(block.attention_norm));
    module.register_module("qkv", linear(block.qkv));
    module.register_module("project", linear(block.project));
    module.register_module("mlp_norm", norm(block.mlp_norm));
    module.register_module("up", linear(block.up));
    module.register_module("activation", activation);
    module.register_module("down", linear(block.down));
    module.define(R"(
def forward(self, input):
    shape = [input.size(0), input.size(1), self.heads, -1]
    q, k, v = torch.chunk(self.qkv.forward(self.attention_norm.forward(input)), 3, -1)
    mixed = torch.scaled_dot_product_attention(q.view(shape).transpose(1, 2), k.view(shape).transpose(1, 2),
                                               v.view(shape).transpose(1, 2), None, 0., True)
    x = input + self.project.forward(mixed.transpose(1, 2).reshape_as(input))
    return x + self.down.forward(self.activation.forward(self.up.forward(self.mlp_norm.forward(x))))
)");
    return module;
}

}  // namespace demo
