"""Distributed training: the rank of this process, and its share of a batch (Lightning's DDP, one process a device)."""

import os

import torch
from torch import Tensor


def rank() -> int:
    """Return the rank of this process in a distributed fit; 0 without one."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def follows() -> bool:
    """Return whether this process is a worker of a distributed fit: it writes nothing and ends with the fit."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def share(tensor: Tensor, number: int, total: int) -> Tensor:
    """Take every ``total``-th row of a batch from row ``number`` on; if there is none, the first row, with weight 0.

    >>> [share(torch.arange(3), number, 2).tolist() for number in (0, 1)]
    [[0, 2], [1]]
    """
    return tensor[number::total] if number < len(tensor) else tensor[:1]
