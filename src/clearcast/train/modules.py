"""Lightning modules of the published networks, and their base class: loss, metrics, optimizer, distributed batches."""

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import convert_conv2d_weight_memory_format

from clearcast.nn.published import PublishedClassifier
from clearcast.train.datasets import TensorBatch, shard_batch
from clearcast.train.recipe import LossInput


def images_to_float(images: Tensor) -> Tensor:
    """Divide pixels by 255: uint8 (batch, height, width, channels) to float (batch, channels, height, width)."""
    return images.permute(0, 3, 1, 2).float().div_(255)


class TrainingModule(LightningModule):
    """Base class: a network with its loss and Adam.

    Logs means over epochs: ``train_*``, and ``heldout_*`` on held-out rows.

    In a distributed fit, all processes get the same batch and each takes its share, unless ``own_batches``: then each
    process gets training batches of its own.
    """

    memory_format = torch.contiguous_format
    own_batches = False

    def __init__(self, network: nn.Module, *, learning_rate: float) -> None:
        super().__init__()
        convert_conv2d_weight_memory_format(network, self.memory_format)
        self.network = network
        self.learning_rate = learning_rate

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Compute the loss and other metrics, each a mean over the batch."""
        raise NotImplementedError

    def training_step(self, batch: TensorBatch, _: int) -> Tensor:
        """Compute and log the loss of a training batch."""
        metrics = self.compute_metrics(batch) if self.own_batches else self._sharded_metrics(batch)
        self._log_means("train", metrics, len(batch[0]))
        return metrics["loss"]

    def validation_step(self, batch: TensorBatch, _: int) -> None:
        """Log the metrics of a held-out batch."""
        self._log_means("heldout", self._sharded_metrics(batch), len(batch[0]))

    def shard(self, batch: TensorBatch, number: int, total: int) -> TensorBatch:
        """Take one process's shard of a batch."""
        return tuple(shard_batch(tensor, number, total) for tensor in batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make Adam with its default moments, as in the report; fused, which halves the time of a small step."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)

    def inputs(self, images: Tensor) -> Tensor:
        """Convert uint8 images to the network's input, in the memory format that it convolves fastest."""
        return images_to_float(images).contiguous(memory_format=self.memory_format)

    def _sharded_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Weight the metrics so that their mean over all processes, also of gradients, is that of the whole batch."""
        number, total = self.global_rank, self.trainer.world_size
        if total == 1:
            return self.compute_metrics(batch)
        weight = len(range(number, len(batch[0]), total)) * total / len(batch[0])
        return {name: weight * value for name, value in self.compute_metrics(self.shard(batch, number, total)).items()}

    def _log_means(self, subset: str, metrics: dict[str, Tensor], count: int) -> None:
        named = {f"{subset}_{name}": value.detach() for name, value in metrics.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


class PublishedClassifierModule(TrainingModule):
    """Fits the published classifier by cross-entropy."""

    memory_format = torch.channels_last
    network: PublishedClassifier

    def __init__(self, network: PublishedClassifier, *, learning_rate: float, loss_on: LossInput) -> None:
        super().__init__(network, learning_rate=learning_rate)
        self.loss_on = loss_on

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Compute cross-entropy and accuracy."""
        images, targets = batch
        scores = self.network.logits(self.inputs(images))
        outputs = scores if self.loss_on is LossInput.LOGITS else self.network.softmax(scores)
        accuracy = (scores.argmax(dim=1) == targets).float().mean()
        return {"loss": functional.cross_entropy(outputs, targets), "accuracy": accuracy}


class PublishedDenoiserModule(TrainingModule):
    """Fits a denoiser by mean squared error."""

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Compute the mean squared error on the 0..1 scale."""
        noisy, reference = batch
        return {"loss": functional.mse_loss(self.network(self.inputs(noisy)), images_to_float(reference))}
