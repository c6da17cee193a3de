"""Network summary: layers, output shapes and numbers of parameters."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One layer, in the order of calls; ``output`` is its output shape without the batch."""

    name: str
    kind: str
    details: str
    output: tuple[int, ...]
    parameters: int


def summarize(network: nn.Module, input_shape: tuple[int, int, int]) -> list[LayerSummary]:
    """List the layers that a black image of shape (channels, height, width) passes in a network."""
    layers: list[LayerSummary] = []
    hooks = [
        module.register_forward_hook(_layer_hook(name, layers))
        for name, module in network.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Identity)
    ]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *input_shape, device=next(network.parameters()).device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return layers


def count_parameters(network: nn.Module) -> int:
    """Count the trainable parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _layer_hook(name: str, layers: list[LayerSummary]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append(
            LayerSummary(
                name=name,
                kind=type(module).__name__,
                details=_details(module),
                output=tuple(output.shape[1:]),
                parameters=count_parameters(module),
            )
        )

    return hook


def _details(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        parts = [f"{module.in_channels}→{module.out_channels}", f"kernel {module.kernel_size[0]}"]
        parts += [f"stride {module.stride[0]}"] * (module.stride[0] != 1)
        parts += [f"padding {module.padding[0]}"] * (module.padding[0] != 0)
        parts += [f"output padding {module.output_padding[0]}"] * (module.output_padding[0] != 0)
        return ", ".join(parts)
    if isinstance(module, nn.Linear):
        return f"{module.in_features}→{module.out_features}"
    if isinstance(module, nn.Dropout):
        return f"p {module.p:g}"
    return ""
