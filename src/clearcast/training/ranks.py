"""Fitting by several processes, one a device (Lightning's DDP): which of them this is, and its share of a batch."""

import os

import torch
from torch import Tensor


def rank() -> int:
    """The number of this process among those that fit one network together; 0 where there is but one."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def follows() -> bool:
    """Whether another process started this one to fit with it: it writes nothing, and ends when the fitting does."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def share(tensor: Tensor, number: int, total: int) -> Tensor:
    """Every ``total``-th row of a batch from row ``number`` on; the first, which then counts nothing, if it has none.

    >>> [share(torch.arange(3), number, 2).tolist() for number in (0, 1)]
    [[0, 2], [1]]
    """
    return tensor[number::total] if number < len(tensor) else tensor[:1]
