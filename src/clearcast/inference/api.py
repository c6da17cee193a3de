"""Python API: a loaded bundle that predicts images."""

from collections.abc import Generator, Sequence
from pathlib import Path

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import Manifest, noise_types_of
from clearcast.bundle.signing import TrustedSigners
from clearcast.data.sheet import SheetColumns, SheetReading
from clearcast.inference.inspector import Inspector, available_cores, inspect_images
from clearcast.inference.sources import Shard, Source, iterate_source
from clearcast.inference.verification import load_verified_model
from clearcast.types import Inspection


class Bundle:
    """Loaded bundle, ready to inspect images; see ``clearcast.load``.

    Attributes:
        name: the bundle's name and the first characters of its fingerprint, as in the results.
        threshold: the probability of defect above which the verdict is defect, 0..1; None if it gives no verdicts.
        retake_distance: the verdict is retake if the log-odds of defect are nearer than this to those of the threshold;
            None: never.
        noise_types: the noise types that it classifies.
        manifest: metadata of the bundle: training data, measured figures, package versions.
        threads: how many images are processed at a time.
    """

    def __init__(self, path: Path, *, threads: int | None = None, trust: TrustedSigners | None = None) -> None:
        package = open_package(path, trust)
        self.inspector = Inspector(package, load_verified_model(package))
        self.name = self.inspector.name
        self.threshold = self.inspector.threshold
        self.manifest: Manifest = self.inspector.manifest
        self.noise_types = noise_types_of(self.manifest)
        self.retake_distance = self.inspector.rule.retake_distance if self.inspector.rule else None
        self.threads = threads or available_cores()

    def predict(
        self,
        source: Source,
        *,
        restored: bool = False,
        evidence: bool = False,
        recursive: bool = True,
        shard: Shard | None = None,
        root: Path | None = None,
        column: str = SheetColumns.noisy,
        worksheet: str | None = None,
        strip_prefix: Sequence[str] = (),
    ) -> Generator[Inspection, None, None]:
        """Inspect the images of a source, lazily and in its order; a bad image gives an inspection with an error.

        Args:
            source, recursive, shard, root, column: see ``clearcast.inference.sources.iterate_source``.
            worksheet: of a workbook as source; None: the first one that has the column.
            strip_prefix: prefixes to remove from the paths of a sheet as source.
            restored: include the denoised image in each inspection.
            evidence: include the log-odds of defect by position in each inspection.

        Raises:
            SourceError: the source does not exist, or has no images.
            SheetError: the source is a sheet that cannot be read.
        """
        reading = SheetReading(worksheet=worksheet, strip_prefix=tuple(strip_prefix))
        items = iterate_source(source, recursive=recursive, shard=shard, root=root, column=column, reading=reading)
        return inspect_images(self.inspector, items, workers=self.threads, denoise=restored, evidence=evidence)

    def __repr__(self) -> str:
        return f"<clearcast bundle {self.name}>"
