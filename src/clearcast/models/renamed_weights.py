"""Migration of saved weights: networks also load state dicts that were written under earlier submodule names."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn


def accept_renamed_weights(network: nn.Module, renamed: Mapping[str, str]) -> None:
    """Let a network load weights of submodules that were renamed since the weights were saved.

    The rename happens within ``load_state_dict``, so it covers bundles, fitted weights and checkpoints alike.

    Args:
        network: the network that owns the submodules.
        renamed: earlier names of its direct submodules, and their names now.
    """
    register: Callable[[Callable[..., None]], object] = network.register_load_state_dict_pre_hook  # untyped in PyTorch
    register(partial(_rename, dict(renamed)))


def _rename(renamed: dict[str, str], _: nn.Module, state_dict: dict[str, Tensor], prefix: str, *__: Any) -> None:  # noqa: ANN401
    for key in list(state_dict):
        if key.startswith(prefix):
            name, dot, rest = key[len(prefix) :].partition(".")
            if name in renamed:
                state_dict[f"{prefix}{renamed[name]}{dot}{rest}"] = state_dict.pop(key)
