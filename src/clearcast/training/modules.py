"""The Lightning modules that fit networks: what a step is, and what is measured in it."""

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import convert_conv2d_weight_memory_format

from clearcast.models.report import ReportClassifier
from clearcast.training.datasets import Batch
from clearcast.training.ranks import share
from clearcast.training.recipe import LossOn


def to_float(pictures: Tensor) -> Tensor:
    """Pixels divided by 255, nothing else: uint8 (batch, height, width, channels) to float (batch, channels, ...)."""
    return pictures.permute(0, 3, 1, 2).float().div_(255)


class FitModule(LightningModule):
    """A network, its loss and Adam. Logs means over epochs: ``train_*``, and ``heldout_*`` on other rows.

    Where several processes fit together, all are given the same batch and each takes its share, unless
    ``own_batches``: then each is given other training batches.
    """

    memory_format = torch.contiguous_format
    own_batches = False

    def __init__(self, network: nn.Module, *, learning_rate: float) -> None:
        super().__init__()
        convert_conv2d_weight_memory_format(network, self.memory_format)
        self.network = network
        self.learning_rate = learning_rate

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, to be minimised, and what else is worth watching, each a mean over the batch."""
        raise NotImplementedError

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """One step of fitting."""
        measures = self.measures(batch) if self.own_batches else self._measures_of_share(batch)
        self._log_means("train", measures, len(batch[0]))
        return measures["loss"]

    def validation_step(self, batch: Batch, _: int) -> None:
        """One batch of rows that do not train."""
        self._log_means("heldout", self._measures_of_share(batch), len(batch[0]))

    def share(self, batch: Batch, number: int, total: int) -> Batch:
        """The share of one of several processes."""
        return tuple(share(tensor, number, total) for tensor in batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with its default moments, as in the report; fused, which halves a small step."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)

    def inputs(self, pictures: Tensor) -> Tensor:
        """What the network gets, laid out in memory as it convolves fastest."""
        return to_float(pictures).contiguous(memory_format=self.memory_format)

    def _measures_of_share(self, batch: Batch) -> dict[str, Tensor]:
        """Such that their mean over all processes, and that of their gradients, is that of the whole batch."""
        number, total = self.global_rank, self.trainer.world_size
        if total == 1:
            return self.measures(batch)
        counts = len(range(number, len(batch[0]), total)) * total / len(batch[0])
        return {name: counts * value for name, value in self.measures(self.share(batch, number, total)).items()}

    def _log_means(self, subset: str, measures: dict[str, Tensor], count: int) -> None:
        named = {f"{subset}_{name}": value.detach() for name, value in measures.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


class ClassifierModule(FitModule):
    """Fits a classifier by cross-entropy."""

    memory_format = torch.channels_last
    network: ReportClassifier

    def __init__(self, network: ReportClassifier, *, learning_rate: float, loss_on: LossOn) -> None:
        super().__init__(network, learning_rate=learning_rate)
        self.loss_on = loss_on

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy and accuracy."""
        pictures, targets = batch
        scores = self.network.logits(self.inputs(pictures))
        said = scores if self.loss_on is LossOn.LOGITS else self.network.softmax(scores)
        accuracy = (scores.argmax(dim=1) == targets).float().mean()
        return {"loss": functional.cross_entropy(said, targets), "accuracy": accuracy}


class DenoiserModule(FitModule):
    """Fits a denoiser by mean squared error."""

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error on the 0..1 scale."""
        noisy, reference = batch
        return {"loss": functional.mse_loss(self.network(self.inputs(noisy)), to_float(reference))}
