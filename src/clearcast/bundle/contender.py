"""A bundle as contenders in the benchmark."""

import hashlib
from pathlib import Path

from scipy.special import expit

from clearcast.bundle.networks import JUDGE, RESTORER, Networks, Verdicts, judge, load_networks
from clearcast.evaluation.benchmark import Denoiser, Judge
from clearcast.evaluation.stage import Stage
from clearcast.imaging import Picture
from clearcast.models.clear.restoring import restore
from clearcast.runtime.signing import Trust


def contenders_of_bundle(folder: Path, trust: Trust | None = None) -> tuple[Denoiser, list[Judge]]:
    """The restorer of a bundle, named as its folder, and where it has one, its judge of restored pictures.

    Raises:
        OutputError: not a bundle, a damaged one, or not signed as ``trust`` asks.
    """
    networks, _ = load_networks(folder, trust)
    name = folder.resolve().name
    denoiser = Denoiser(
        name=name,
        denoise=lambda picture: restore(networks.restorer, picture)[0],
        channels=networks.channels,
        version=_version(folder, RESTORER),
    )
    if networks.verdicts is None:
        return denoiser, []
    verdicts = networks.verdicts
    judging = Judge(
        name=f"{name}, {Stage.DENOISED}",
        probability=lambda picture: _probability(networks, verdicts, picture),
        channels=networks.channels,
        version=_version(folder, RESTORER, JUDGE),
    )
    return denoiser, [judging]


def _probability(networks: Networks, verdicts: Verdicts, picture: Picture) -> float:
    """Of defect, moved so that the bundle's own threshold lies at 0.5, where the benchmark has that of all judges."""
    judged = judge(verdicts, restore(networks.restorer, picture)[0])
    return float(expit(judged.logit - verdicts.facts["threshold"] / verdicts.facts["temperature"]))


def _version(folder: Path, *names: str) -> str:
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()[:12]
