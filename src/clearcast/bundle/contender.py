"""A bundle as entrants of the benchmark: its denoiser and its classifier."""

import hashlib
from pathlib import Path

from clearcast.bundle.networks import JUDGE, RESTORER, Networks, Verdicts, judge, load_networks
from clearcast.evaluation.benchmark import Denoiser, Judge
from clearcast.evaluation.stage import Stage
from clearcast.imaging import Picture
from clearcast.log_odds import sigmoid
from clearcast.models.clear.restoring import restore
from clearcast.runtime.signing import Trust


def contenders_of_bundle(folder: Path, trust: Trust | None = None) -> tuple[Denoiser, list[Judge]]:
    """Return the denoiser of a bundle, named after its folder, and its classifier of denoised images, if it has one.

    Raises:
        OutputError: it is not a bundle, is damaged, or is not signed by a trusted key.
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
    classifier = Judge(
        name=f"{name}, {Stage.DENOISED}",
        probability=lambda image: _probability(networks, verdicts, image),
        channels=networks.channels,
        version=_version(folder, RESTORER, JUDGE),
    )
    return denoiser, [classifier]


def _probability(networks: Networks, verdicts: Verdicts, image: Picture) -> float:
    """Return the probability of defect, shifted so that the bundle's threshold is 0.5, that of the benchmark."""
    log_odds, _ = judge(verdicts, restore(networks.restorer, image)[0])
    return sigmoid(log_odds - verdicts.facts["threshold"] / verdicts.facts["temperature"])


def _version(folder: Path, *names: str) -> str:
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()[:12]
