"""Convolutional networks and mixers on images."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_norm(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalisation."""
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip connection (He et al. 2016, Deep residual learning, Figure 2)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, out, 3, stride)
        self.second = conv_norm(out, out, 3)
        same = stride == 1 and channels == out
        self.skip = nn.Identity() if same else conv_norm(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, out, height / stride, width / stride)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


class ResNet(nn.Module):
    """An 18-layer residual network."""

    def __init__(self, width: int = 64, classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_norm(3, width, 7, 2)
        blocks: list[nn.Module] = []
        channels = width
        for level in range(4):
            out = width << level
            blocks += [BasicBlock(channels, out, 2 if level else 1), BasicBlock(out, out, 1)]
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        x = F.max_pool2d(F.relu(self.stem(images)), 3, 2, 1)
        return self.head(self.blocks(x).mean((2, 3)))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project (Sandler et al. 2018, MobileNetV2, Figure 4)."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = conv_norm(channels, inner, 1)
        self.filter = conv_norm(inner, inner, 3, stride, groups=inner)
        self.project = conv_norm(inner, out, 1)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, out, height / stride, width / stride)."""
        y = self.project(F.relu6(self.filter(F.relu6(self.expand(x)))))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A network of inverted residuals."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_norm(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        channels = 32
        for out, count, stride in ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2)):
            for k in range(count):
                blocks.append(InvertedResidual(channels, out, stride if k == 0 else 1))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.top = conv_norm(channels, 1280, 1)
        self.head = nn.Linear(1280, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        return self.head(F.relu6(self.top(self.blocks(F.relu6(self.stem(images))))).mean((2, 3)))


class DoubleConv(nn.Module):
    """Two convolutions of a U-Net's level."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, out, 3)
        self.second = conv_norm(out, out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, out, height, width)."""
        return F.relu(self.second(F.relu(self.first(x))))


class UNet(nn.Module):
    """Contracting and expanding paths with long skips (Ronneberger et al. 2015, U-Net, Figure 1)."""

    def __init__(self, width: int = 32, levels: int = 4, classes: int = 2) -> None:
        super().__init__()
        sizes = [width << k for k in range(levels + 1)]
        self.entry = DoubleConv(3, width)
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in itertools.pairwise(sizes))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in itertools.pairwise(sizes))
        self.up = nn.ModuleList(DoubleConv(2 * a, a) for a in sizes[:-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes, height, width); sides are multiples of 2^levels."""
        skips = [self.entry(images)]
        for block in self.down:
            skips.append(block(F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for rise, block in zip(reversed(self.rise), reversed(self.up), strict=True):
            x = block(torch.cat((rise(x), skips.pop()), dim=1))
        return self.head(x)


class ConvMixer(nn.Module):
    """Patches, then depthwise and pointwise convolutions (Trockman and Kolter 2022, Patches are all you need)."""

    def __init__(self, width: int = 384, depth: int = 8, patch: int = 7, classes: int = 1000) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.space = nn.ModuleList(nn.Conv2d(width, width, 7, padding=3, groups=width) for _ in range(depth))
        self.channels = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2 * depth + 1))
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        norms = iter(self.norms)
        x = next(norms)(F.gelu(self.patches(images)))
        for space, channels in zip(self.space, self.channels, strict=True):
            x = x + next(norms)(F.gelu(space(x)))
            x = next(norms)(F.gelu(channels(x)))
        return self.head(x.mean((2, 3)))


class MixerBlock(nn.Module):
    """Multilayer perceptrons over tokens, then over channels (Tolstikhin et al. 2021, MLP-Mixer, Figure 1)."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.token_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> the same."""
        x = x + self.mix(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.feed(self.norm(x))


class Mixer(nn.Module):
    """An MLP-Mixer."""

    def __init__(self, width: int = 512, depth: int = 8, classes: int = 1000) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.blocks = nn.Sequential(*(MixerBlock(196, width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, 224, 224) -> (batch, classes)."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))
