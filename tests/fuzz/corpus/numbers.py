import torch
SIZES = (1, 2, 3)
LAST = SIZES[-1]
EPS = 1e-6
class Numbers(torch.nn.Module):
    def forward(self, x, n: int = 4, scale: float = 0.5):
        a, b = divmod(n, x.shape[0])
        c = (n + a) // b % LAST - (n << 2 | 1) ** 2 & 0xff ^ ~a
        total = 0
        for i in range(a, b, -1):
            if i % n == 0 and not c or i // -1 > 3:
                continue
            total += i * c >> 1
        while total > n:
            total = total - max(1, abs(n))
        return x * (total / 7) + scale ** -2.5 + EPS, [n, int(scale)], float(n) // scale
