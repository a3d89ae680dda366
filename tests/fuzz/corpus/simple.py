import torch
class Add(torch.nn.Module):
    def forward(self, x, y=1):
        return torch.add(x, y) + self.weight * self.eps
class Call(torch.nn.Module):
    def forward(self, x):
        a, b = self.child(x), [x, x][0]
        return {"a": a}["a"] + b if x.dim() == 1 or x.is_cuda else x
class Loop(torch.nn.Module):
    def forward(self, x):
        n = 0
        while n < 3:
            n += 1
            if n == 2: continue
            x = x.view(-1) + n
        return (x, n), "".join(["a", 'b\n\x41\u00e9'])
def helper(x, k): return x * k
class Helped(torch.nn.Module):
    def forward(self, x):
        if isinstance(x, torch.Tensor) and x is not None:
            raise ValueError("no")
        return helper(helper(x, 2), self.eps)
