"""The models of the program library, and the command that traces them.

`python -m makespan.agents.models.library --out envs/memory/data/programs` writes every program anew; names after it restrict it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from makespan.agents.models import language, others, vision
from makespan.agents.tracing.trace import trace
from makespan.envs.core.errors import UnknownNameError
from makespan.envs.memory.program import MemoryProgram

DTYPE: Final = torch.bfloat16


@dataclass(frozen=True)
class Model:
    """A model and how it is traced.

    Attributes:
        name: Name in the library.
        module: Builds the module.
        inputs: From the batch size to the module's inputs.
        loss: From its output to the loss; None is the default of `trace`.
        inference: Batch sizes of forward passes.
        training: Batch sizes of training steps; none for a model that is not trained.
    """

    name: str
    module: Callable[[], nn.Module]
    inputs: Callable[[int], Sequence[Any]]
    loss: Callable[[Any], Tensor] | None = None
    inference: tuple[int, ...] = (1, 8)
    training: tuple[int, ...] = (4, 16)


def cross_entropy(logits: Tensor) -> Tensor:
    """Mean cross-entropy of (..., classes) logits against fixed labels."""
    rows = logits.flatten(0, -2)
    return F.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.long, device=logits.device))


def pixel_cross_entropy(logits: Tensor) -> Tensor:
    """Mean cross-entropy of (batch, classes, height, width) logits against fixed labels."""
    labels = torch.zeros(logits.shape[0], *logits.shape[2:], dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, labels)


def _images(side: int) -> Callable[[int], Sequence[Tensor]]:
    return lambda batch: (torch.empty(batch, 3, side, side),)


def _tokens(length: int) -> Callable[[int], Sequence[Tensor]]:
    return lambda batch: (torch.empty(batch, length, dtype=torch.long),)


def _graph(batch: int) -> Sequence[Tensor]:
    """A thousand nodes and eight thousand edges a graph."""
    edges = torch.empty(8000 * batch, dtype=torch.long)
    return torch.empty(1000 * batch, 16), torch.empty(8000 * batch, 16), edges, torch.empty_like(edges)


def _caches(batch: int) -> Sequence[Any]:
    return torch.empty(batch, dtype=torch.long), [torch.empty(2, batch, 16, 512, 64) for _ in range(8)]


def _square(batch: int) -> Sequence[Tensor]:
    """Matrices of 512 rows and columns a unit of the batch."""
    return torch.empty(512 * batch, 512 * batch), torch.empty(512 * batch, 512 * batch)


MODELS: Final[tuple[Model, ...]] = (
    Model("mlp", others.Perceptron, lambda b: (torch.empty(b, 1024),), None, (64, 1024), (256, 2048)),
    Model("resnet18", vision.ResNet, _images(224), cross_entropy, (1, 8), (4, 16)),
    Model("mobilenet", vision.MobileNet, _images(224), cross_entropy, (1, 8), (4, 16)),
    Model("unet", vision.UNet, _images(256), pixel_cross_entropy, (1, 4), (1, 4)),
    Model("convmixer", vision.ConvMixer, _images(224), cross_entropy, (4, 32), (4, 16)),
    Model("mixer", vision.Mixer, _images(224), cross_entropy, (4, 32), (4, 16)),
    Model("encoder", language.Encoder, _tokens(256), cross_entropy, (1, 8), (2, 8)),
    Model("decoder", language.Decoder, _tokens(512), cross_entropy, (1, 4), (1, 4)),
    Model("linear_attention", language.LinearTransformer, _tokens(512), cross_entropy, (1, 8), (2, 8)),
    Model("moe", language.MixtureOfExperts, _tokens(256), cross_entropy, (2, 8), (2, 8)),
    Model("decode_step", language.DecodeStep, _caches, None, (1, 16), ()),
    Model("lstm", language.Recurrent, _tokens(24), cross_entropy, (32, 256), (32, 256)),
    Model("graph_network", others.GraphNetwork, _graph, None, (1, 8), (1, 8)),
    Model("recommender", others.Recommender, lambda b: (
        torch.empty(b, 13), torch.empty(b, 16, dtype=torch.long)), None, (512, 8192), (512, 8192)),
    Model("vae", others.VariationalAutoencoder, _images(128), lambda out: out[1], (8, 64), (8, 32)),
    Model("denoiser", others.Denoiser, lambda b: (
        torch.empty(b, 3, 64, 64), torch.empty(b, 64)), None, (1, 8), (2, 8)),
    Model("strassen", others.Strassen, _square, None, (2, 8), ()),
)  # fmt: skip
"""All models of the library."""


def build_model(name: str, batch: int) -> tuple[nn.Module, Sequence[Any], Callable[[Any], Tensor] | None]:
    """A model on the meta device with its inputs and its loss, as `makespan trace` takes them.

    Raises:
        UnknownNameError: No model has this name.
    """
    model = _find(name)
    with torch.device("meta"):
        return model.module(), model.inputs(batch), model.loss


def build_example(batch: int = 8) -> tuple[nn.Module, Sequence[Any], Callable[[Any], Tensor] | None]:
    """The ResNet of the library: an example of a function for `makespan trace`."""
    return build_model("resnet18", batch)


def library_names() -> list[str]:
    """Names of the programs of the library, e.g. `resnet18_inference_b8`."""
    return [name for model in MODELS for name, _, _ in _variants(model)]


def trace_program(name: str) -> MemoryProgram:
    """Trace one program of the library, in bfloat16.

    Raises:
        UnknownNameError: No program has this name.
    """
    for model in MODELS:
        for variant, training, batch in _variants(model):
            if variant == name:
                module, inputs, loss = build_model(model.name, batch)
                return trace(module, inputs, training=training, loss=loss, dtype=DTYPE, name=name)
    raise UnknownNameError("program", name, library_names())


def main(argv: Sequence[str] | None = None) -> None:
    """Write programs as gzipped JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="programs (all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder, which must exist")
    args = parser.parse_args(argv)
    for name in args.names or library_names():
        trace_program(name).save(args.out / f"{name}.json.gz")


def _find(name: str) -> Model:
    for model in MODELS:
        if model.name == name:
            return model
    raise UnknownNameError("model", name, [model.name for model in MODELS])


def _variants(model: Model) -> Iterator[tuple[str, bool, int]]:
    for word, training, batches in (
        ("inference", False, model.inference),
        ("training", True, model.training),
    ):
        for batch in batches:
            yield f"{model.name}_{word}_b{batch}", training, batch


if __name__ == "__main__":
    main()
