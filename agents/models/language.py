"""Transformers, a mixture of experts and a recurrent network on token sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, Attention is all you need, Section 3.2)."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))


class LinearAttention(nn.Module):
    """Attention with a feature map in place of the softmax (Katharopoulos et al. 2020, Transformers are RNNs, Equation 5)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        scale = (q @ k.sum(2).unsqueeze(-1)).reciprocal()
        return self.out(((q @ (k.transpose(2, 3) @ v)) * scale).transpose(1, 2).flatten(2))


class Experts(nn.Module):
    """A mixture of experts, each of which takes the tokens that want it most (Zhou et al. 2022, Expert choice routing)."""

    def __init__(self, width: int, experts: int, slack: float = 1.25) -> None:
        super().__init__()
        self.slack = slack
        self.router = nn.Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.empty(experts, width, 4 * width))
        self.down = nn.Parameter(torch.empty(experts, 4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        tokens = x.flatten(0, 1)
        scores = self.router(tokens).softmax(-1)
        count = int(self.slack * len(tokens)) // scores.shape[1]
        weight, chosen = scores.t().topk(count, dim=1)  # (experts, count)
        picked = tokens.index_select(0, chosen.flatten()).view(*chosen.shape, -1)
        y = torch.bmm(F.gelu(torch.bmm(picked, self.up)), self.down) * weight.unsqueeze(-1)
        return torch.zeros_like(tokens).index_add(0, chosen.flatten(), y.flatten(0, 1)).view_as(x)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, attention: nn.Module, feed: nn.Module) -> None:
        super().__init__()
        self.first_norm, self.attention = nn.LayerNorm(width), attention
        self.second_norm, self.feed = nn.LayerNorm(width), feed

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        x = x + self.attention(self.first_norm(x))
        return x + self.feed(self.second_norm(x))


def feed_forward(width: int) -> nn.Sequential:
    """The two dense layers of a transformer block."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class Transformer(nn.Module):
    """Embeddings, blocks and a projection onto the vocabulary, whose weights are the embedding's."""

    def __init__(
        self, width: int, blocks: list[nn.Module], vocabulary: int = 16_000, length: int = 512
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, vocabulary)."""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


class Encoder(Transformer):
    """An encoder in the manner of BERT."""

    def __init__(self, width: int = 512, heads: int = 8, depth: int = 6) -> None:
        blocks = [Block(width, Attention(width, heads, False), feed_forward(width)) for _ in range(depth)]
        super().__init__(width, [*blocks])


class Decoder(Transformer):
    """A decoder in the manner of GPT-2."""

    def __init__(self, width: int = 512, heads: int = 8, depth: int = 6) -> None:
        blocks = [Block(width, Attention(width, heads, True), feed_forward(width)) for _ in range(depth)]
        super().__init__(width, [*blocks])


class LinearTransformer(Transformer):
    """An encoder with linear attention."""

    def __init__(self, width: int = 512, heads: int = 8, depth: int = 6) -> None:
        blocks = [Block(width, LinearAttention(width, heads), feed_forward(width)) for _ in range(depth)]
        super().__init__(width, [*blocks])


class MixtureOfExperts(Transformer):
    """A decoder in which every second block has experts."""

    def __init__(self, width: int = 512, heads: int = 8, depth: int = 4, experts: int = 8) -> None:
        blocks = [
            Block(
                width,
                Attention(width, heads, True),
                Experts(width, experts) if k % 2 else feed_forward(width),
            )
            for k in range(depth)
        ]
        super().__init__(width, [*blocks])


class DecodeStep(nn.Module):
    """One token more from a decoder whose keys and values are kept: the caches are updated in place."""

    def __init__(self, width: int = 1024, heads: int = 16, depth: int = 8, vocabulary: int = 16_000) -> None:
        super().__init__()
        self.heads = heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.feed = nn.ModuleList(feed_forward(width) for _ in range(depth))

    def forward(self, token: Tensor, caches: list[Tensor]) -> Tensor:
        """(batch,) and a (2, batch, heads, length, width / heads) cache a block -> (batch, vocabulary)."""
        norms = iter(self.norms)
        x = self.tokens(token)
        for qkv, out, feed, cache in zip(self.qkv, self.out, self.feed, caches, strict=True):
            q, k, v = (t.unflatten(-1, (self.heads, 1, -1)) for t in qkv(next(norms)(x)).chunk(3, -1))
            cache[0, :, :, -1:] = k
            cache[1, :, :, -1:] = v
            x = x + out(F.scaled_dot_product_attention(q, cache[0], cache[1]).flatten(1))
            x = x + feed(next(norms)(x))
        return F.linear(next(norms)(x), self.tokens.weight)


class Recurrent(nn.Module):
    """A two-layer LSTM, unrolled over its steps (Hochreiter and Schmidhuber 1997)."""

    def __init__(self, width: int = 1024, layers: int = 2, vocabulary: int = 8_000) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.cells = nn.ModuleList(nn.LSTMCell(width, width) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, vocabulary)."""
        x = self.tokens(tokens)
        steps = list(x.unbind(1))
        for cell in self.cells:
            state = None
            for k, step in enumerate(steps):
                state = cell(step, state)
                steps[k] = state[0]
        return self.head(torch.stack(steps, 1))
