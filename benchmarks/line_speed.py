"""Inspection speed of a bundle, compared with decoding the same files and with ResNet-18 in the same loop.

Run with nothing else on the machine::

    .venv/bin/python benchmarks/line_speed.py BUNDLE FOLDER --counts 100 1000 10000

The rates are measured in one process, alternating on the same blocks of images, so that their ratios are robust against
other load. Start-up, and time and memory by number of images, are those of ``clearcast predict`` in separate processes,
with the folder's files repeated as links.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import onnxruntime

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.inference.image_outputs import ImageOutputs, ImageOutputWriter
from clearcast.inference.inspector import FinishInspection, Inspector, available_cores, inspect_images
from clearcast.inference.sources import SourceItem, iterate_source
from clearcast.types import Inspection, Verdict

SIDE = 224  # input size of ResNet-18 in pixels
BLOCKS = 5  # blocks of images, on which the loops alternate
WARM_UP = 8  # images before the clock starts
STARTS = 5  # runs, of which the median is printed

Loop = Callable[[Sequence[SourceItem]], None]


class ResNetInspector(Inspector):
    """Inspector with ResNet-18 instead of a bundle's graphs: float32 at 224 x 224 pixels, with random weights."""

    def __init__(self, package: BundlePackage) -> None:
        super().__init__(package)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._resnet = onnxruntime.InferenceSession(_export_resnet(), options, providers=["CPUExecutionProvider"])

    def inspect(self, item: SourceItem, *, denoise: bool = False, evidence: bool = False) -> Inspection:
        """Decode in colour, resize, and run the network; only the verdict is set."""
        assert not denoise
        assert not evidence
        data = item.read()
        assert isinstance(data, bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        small = imaging.resize_image(imaging.decode_image(data, Channels.RGB, item.name), SIDE, SIDE)
        logits = self._resnet.run(None, {"x": (small.astype(np.float32) / 255).transpose(2, 0, 1)[None]})[0]
        return Inspection(
            path=item.name,
            sha256=sha256,
            verdict=Verdict.DEFECT if logits[0, 1] > logits[0, 0] else Verdict.OK,
            p_defect=None,
            threshold=None,
            noise_type=None,
            noise_level="",
            p_noise=None,
            ms=None,
            model="ResNet-18",
            error="",
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=200, help="for the rates")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000], help="images of the runs of predict")
    args = parser.parse_args()
    items = list(islice(iterate_source(args.folder), args.pictures))
    with tempfile.TemporaryDirectory() as folder:
        _print_start_up(args.bundle, Path(items[0].name), Path(folder))
        _print_run_times(args.bundle, items, args.counts, args.threads, Path(folder))
        _print_rates(items, open_package(args.bundle), args.threads, Path(folder))


def _print_rates(items: Sequence[SourceItem], package: BundlePackage, threads: int, folder: Path) -> None:
    inspector, resnet = Inspector(package), ResNetInspector(package)
    writer = ImageOutputWriter(ImageOutputs(denoised=folder / "denoised", suffix=".jpg"))
    loops: dict[str, Loop] = {
        "only read and decoded": lambda block: _decode(block, inspector.channels, threads),
        "verdict, noise type, evidence": lambda block: _inspect(inspector, block, threads, evidence=True),
        "denoised images as JPEG": lambda block: _inspect(inspector, block, threads, finish=writer),
        f"ResNet-18 at {SIDE}": lambda block: _inspect(resnet, block, threads),
    }
    rates = _rates(loops, items)
    decoding, _, _, baseline = rates.values()
    print(f"{len(items)} images, {threads} threads")
    for name, rate in rates.items():
        print(
            f"{name:32} {rate:8.2f} images/s, 1/{decoding / rate:.1f} of decoding, {rate / baseline:.2f} of ResNet-18"
        )


def _rates(loops: dict[str, Loop], items: Sequence[SourceItem]) -> dict[str, float]:
    """Measure the images per second of each loop, after a warm-up."""
    spent = dict.fromkeys(loops, 0.0)
    for loop in loops.values():
        loop(items[:WARM_UP])
    for place in range(BLOCKS):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop(items[place::BLOCKS])
            spent[name] += time.perf_counter() - started
    return {name: len(items) / seconds for name, seconds in spent.items()}


def _decode(block: Sequence[SourceItem], channels: Channels, threads: int) -> None:
    def decode(item: SourceItem) -> None:
        data = item.read()
        assert isinstance(data, bytes)
        imaging.decode_image(data, channels, item.name)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, block))


def _inspect(
    inspector: Inspector,
    block: Sequence[SourceItem],
    threads: int,
    *,
    evidence: bool = False,
    finish: FinishInspection | None = None,
) -> None:
    inspected = inspect_images(
        inspector, block, workers=threads, denoise=finish is not None, evidence=evidence, finish=finish
    )
    with closing(inspected) as inspections:
        for inspection in inspections:
            assert not inspection.error, inspection.error


def _export_resnet() -> bytes:
    import torch  # after the other processes, which would inherit its memory in the measurement

    from clearcast.nn.baselines import ResNet18

    network = ResNet18(channels=3, classes=2).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code
        program = torch.onnx.export(
            network, (torch.zeros(1, 3, SIDE, SIDE),), dynamo=True, input_names=["x"], verbose=False
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _print_start_up(bundle: Path, image: Path, folder: Path) -> None:
    seconds = sorted(_predict(bundle, image, folder / f"start-{number}.csv")[0] for number in range(STARTS))
    print(f"{'start to the first verdict':32} {seconds[STARTS // 2]:8.2f} s (fastest {seconds[0]:.2f} s)")


def _print_run_times(
    bundle: Path, items: Sequence[SourceItem], counts: Sequence[int], threads: int, folder: Path
) -> None:
    for count in counts:
        source = folder / f"{count}-images"
        source.mkdir()
        for number, item in enumerate(islice(cycle(items), count)):
            path = Path(item.name).absolute()
            (source / f"{number:06d}{path.suffix}").symlink_to(path)
        seconds, peak = _predict(bundle, source, folder / f"{count}.csv", "--threads", str(threads))
        rate = f"{1000 * seconds / count:.1f} ms each, start included"
        print(f"{f'predict {count} images':32} {seconds:8.1f} s, {rate}; at most {peak / 2**20:.0f} MB")


def _predict(bundle: Path, source: Path, out: Path, *options: str) -> tuple[float, int]:
    """Run ``clearcast predict`` in a separate process; returns its time in seconds and its peak memory in bytes."""
    code = "from clearcast.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(bundle), str(source), "--out", str(out), *options]
    started = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    assert status == 0, f"clearcast predict ended with {os.waitstatus_to_exitcode(status)}"
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
