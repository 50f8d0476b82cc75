"""Models on vectors, graphs and tables, generative ones, and an algorithm of linear algebra."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Perceptron(nn.Module):
    """A wide multilayer perceptron."""

    def __init__(self, inputs: int = 1024, width: int = 4096, depth: int = 6, outputs: int = 1024) -> None:
        super().__init__()
        sizes = [inputs, *[width] * depth, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, outputs)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class GraphNetwork(nn.Module):
    """Edge and node networks in turn (Battaglia et al. 2018, Relational inductive biases, Section 3.2)."""

    def __init__(self, width: int = 128, rounds: int = 6, features: int = 16) -> None:
        super().__init__()
        self.nodes, self.edges = nn.Linear(features, width), nn.Linear(features, width)
        self.messages = nn.ModuleList(nn.Linear(3 * width, width) for _ in range(rounds))
        self.updates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(rounds))
        self.head = nn.Linear(width, 1)

    def forward(self, nodes: Tensor, edges: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """(N, features), (E, features), (E,), (E,) -> (N, 1)."""
        x, e = self.nodes(nodes), self.edges(edges)
        for message, update in zip(self.messages, self.updates, strict=True):
            e = e + F.relu(message(torch.cat((x[source], x[target], e), -1)))
            received = torch.zeros_like(x).index_add(0, target, e)
            x = x + F.relu(update(torch.cat((x, received), -1)))
        return self.head(x)


class Recommender(nn.Module):
    """Embedding tables and the products of their rows (Naumov et al. 2019, DLRM, Section 2)."""

    def __init__(self, tables: int = 16, rows: int = 100_000, width: int = 64, dense: int = 13) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for _ in range(tables))
        self.bottom = nn.Sequential(nn.Linear(dense, 512), nn.ReLU(), nn.Linear(512, width), nn.ReLU())
        pairs = (tables + 1) * (tables + 1) + width
        self.top = nn.Sequential(
            nn.Linear(pairs, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1)
        )

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(batch, dense) and (batch, tables) row numbers -> (batch, 1)."""
        x = self.bottom(dense)
        rows = [table(sparse[:, k]) for k, table in enumerate(self.tables)]
        z = torch.stack([x, *rows], 1)
        return self.top(torch.cat(((z @ z.transpose(1, 2)).flatten(1), x), 1))


class VariationalAutoencoder(nn.Module):
    """A convolutional variational autoencoder (Kingma and Welling 2014); its output is its loss."""

    def __init__(self, width: int = 48, latent: int = 128) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width, 8 * width)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(sizes))
        self.code = nn.Linear(8 * width * 64, 2 * latent)
        self.entry = nn.Linear(latent, 8 * width * 64)
        back = sizes[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(back))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 3, 128, 128) -> reconstruction, and the negative evidence bound ()."""
        x = images
        for conv in self.down:
            x = F.silu(conv(x))
        mean, log_variance = self.code(x.flatten(1)).chunk(2, -1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        x = self.entry(z).unflatten(1, (-1, 8, 8))
        for conv in self.up[:-1]:
            x = F.silu(conv(x))
        x = self.up[-1](x)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()
        return x, (x - images).square().mean() + divergence


class TimedBlock(nn.Module):
    """A residual block told the time step, with attention over positions where `heads` is not 0."""

    def __init__(self, channels: int, out: int, time: int, heads: int = 0) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.GroupNorm(8, channels), nn.GroupNorm(8, out)
        self.first, self.second = nn.Conv2d(channels, out, 3, 1, 1), nn.Conv2d(out, out, 3, 1, 1)
        self.time = nn.Linear(time, out)
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        self.heads = heads
        if heads:
            self.third_norm, self.qkv, self.out = (
                nn.GroupNorm(8, out),
                nn.Conv2d(out, 3 * out, 1),
                nn.Conv2d(out, out, 1),
            )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(batch, channels, height, width) and (batch, time) -> (batch, out, height, width)."""
        y = self.first(F.silu(self.first_norm(x))) + self.time(time)[:, :, None, None]
        x = self.skip(x) + self.second(F.silu(self.second_norm(y)))
        if not self.heads:
            return x
        parts = self.qkv(self.third_norm(x)).flatten(2).chunk(3, 1)
        q, k, v = (t.unflatten(1, (self.heads, -1)).transpose(2, 3) for t in parts)
        y = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(1, 2)
        return x + self.out(y.view_as(x))


class Denoiser(nn.Module):
    """A small diffusion U-Net (Ho et al. 2020, Denoising diffusion probabilistic models, Appendix B)."""

    def __init__(self, width: int = 64, time: int = 256) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.entry = nn.Conv2d(3, width, 3, 1, 1)
        self.high, self.low = TimedBlock(width, width, time), TimedBlock(width, 2 * width, time)
        self.middle = TimedBlock(2 * width, 4 * width, time, heads=4)
        self.rise_low = TimedBlock(6 * width, 2 * width, time)
        self.rise_high = TimedBlock(3 * width, width, time)
        self.head = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, images: Tensor, time: Tensor) -> Tensor:
        """(batch, 3, height, width) and (batch, width) encodings of the time step -> the noise."""
        t = self.time(time)
        high = self.high(self.entry(images), t)
        low = self.low(F.avg_pool2d(high, 2), t)
        x = self.middle(F.avg_pool2d(low, 2), t)
        x = self.rise_low(torch.cat((F.interpolate(x, scale_factor=2.0), low), 1), t)
        x = self.rise_high(torch.cat((F.interpolate(x, scale_factor=2.0), high), 1), t)
        return self.head(x)


class Strassen(nn.Module):
    """A product of matrices by Strassen's seven products (1969), applied recursively.

    The program of fast matrix-multiplication algorithms, of which those found by AlphaTensor (Fawzi et al. 2022) are further
    ones: many sums of blocks, few products, and intermediate blocks with widely different lifetimes.
    """

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, n) and (n, n) -> (n, n); n is a multiple of 2^depth."""
        return self.multiply(a, b, self.depth)

    def multiply(self, a: Tensor, b: Tensor, depth: int) -> Tensor:
        """The product, `depth` levels of it by Strassen."""
        if depth == 0:
            return a @ b
        (a11, a12), (a21, a22) = _quarters(a)
        (b11, b12), (b21, b22) = _quarters(b)
        m1 = self.multiply(a11 + a22, b11 + b22, depth - 1)
        m2 = self.multiply(a21 + a22, b11, depth - 1)
        m3 = self.multiply(a11, b12 - b22, depth - 1)
        m4 = self.multiply(a22, b21 - b11, depth - 1)
        m5 = self.multiply(a11 + a12, b22, depth - 1)
        m6 = self.multiply(a21 - a11, b11 + b12, depth - 1)
        m7 = self.multiply(a12 - a22, b21 + b22, depth - 1)
        top = torch.cat((m1 + m4 - m5 + m7, m3 + m5), 1)
        bottom = torch.cat((m2 + m4, m1 - m2 + m3 + m6), 1)
        return torch.cat((top, bottom), 0)


def _quarters(x: Tensor) -> list[tuple[Tensor, ...]]:
    return [half.chunk(2, 1) for half in x.chunk(2, 0)]
