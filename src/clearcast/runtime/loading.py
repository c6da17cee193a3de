"""A bundle as a Python program uses it."""

from collections.abc import Generator, Sequence
from pathlib import Path

from clearcast.data.sheet import Columns, Reading
from clearcast.domain import Inspection
from clearcast.runtime.engine import cores, inspect
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.manifest import Manifest, noise_types_of
from clearcast.runtime.package import open_package
from clearcast.runtime.signing import Trust
from clearcast.runtime.sources import Shard, Source, items
from clearcast.runtime.verifying import load_model


class Bundle:
    """A bundle that is loaded and ready to inspect; see ``clearcast.load``.

    Attributes:
        name: the bundle's name and the first characters of its fingerprint, as results name it.
        threshold: the probability of defect above which the verdict is defect, 0..1; None where it judges nothing.
        retake_distance: the verdict is retake where the log-odds of defect are nearer than this to those of the
            threshold; None where it never is.
        noise_types: those that it tells apart, in the order of its networks' outputs.
        manifest: all that the bundle says of itself: what it was trained on, how well it did, by which versions.
        threads: how many pictures are worked on at a time.
    """

    def __init__(self, path: Path, *, threads: int | None = None, trust: Trust | None = None) -> None:
        package = open_package(path, trust)
        self.inspector = Inspector(package, load_model(package))
        self.name = self.inspector.name
        self.threshold = self.inspector.threshold
        self.manifest: Manifest = self.inspector.manifest
        self.noise_types = noise_types_of(self.manifest)
        self.retake_distance = self.inspector.rule.retake_distance if self.inspector.rule else None
        self.threads = threads or cores()

    def predict(
        self,
        source: Source,
        *,
        restored: bool = False,
        evidence: bool = False,
        recursive: bool = True,
        shard: Shard | None = None,
        root: Path | None = None,
        column: str = Columns.noisy,
        worksheet: str | None = None,
        strip_prefix: Sequence[str] = (),
    ) -> Generator[Inspection, None, None]:
        """Inspect the pictures of a source, lazily and in its order; a bad picture is an inspection with an error.

        Args:
            source, recursive, shard, root, column: see ``clearcast.runtime.sources.items``.
            worksheet: of a workbook as source; None: the first that has the column.
            strip_prefix: of a sheet as source, what is taken off the beginning of its paths.
            restored: give the picture without noise with each inspection.
            evidence: give the log-odds of defect by place with each inspection.

        Raises:
            SourceError: there is no such source, or it holds no picture.
            SheetError: the source is a sheet that cannot be read.
        """
        reading = Reading(worksheet=worksheet, strip_prefix=tuple(strip_prefix))
        found = items(source, recursive=recursive, shard=shard, root=root, column=column, reading=reading)
        return inspect(self.inspector, found, workers=self.threads, restored=restored, evidence=evidence)

    def __repr__(self) -> str:
        return f"<clearcast bundle {self.name}>"
