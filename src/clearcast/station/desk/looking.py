"""From an upload to what is logged of it, with its pictures on the shelf."""

import logging
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from clearcast import imaging
from clearcast.domain import Inspection
from clearcast.imaging import Channels, Picture
from clearcast.runtime.inspector import failed_inspection
from clearcast.runtime.sources import Item
from clearcast.station.desk.bundles import Loaded, Place
from clearcast.station.desk.words import Upload
from clearcast.station.desk.writing import DaemonExecutor
from clearcast.station.records import Entry, Opinion
from clearcast.station.shelf import Shelf, ShelfAway

_LONGEST = 255  # characters of a name
_SAID = logging.getLogger(__name__)

Decode = Callable[[Channels], Picture]


@dataclass(frozen=True, kw_only=True)
class Looker:
    """Inspects uploads and keeps their pictures. Safe to use from several threads.

    Attributes:
        shelf: keeps the pictures.
        shadow: where the bundle in shadow should be; None where there is none.
        beside: what writes a picture to the disk while it is inspected, since a disk takes milliseconds to be sure.
    """

    shelf: Shelf
    shadow: Place | None
    beside: DaemonExecutor

    def look(self, upload: Upload, at: int, bundle: Loaded, *, alone: bool) -> Entry:
        """Inspect an upload by a bundle and the one in shadow; its pictures are on the shelf when this returns.

        Args:
            upload: of any kind; one that is no picture gives an entry with an error.
            at: when it was handed in, see ``Entry``.
            bundle: decides.
            alone: whether no other picture wants the cores.

        Raises:
            ShelfAway: the pictures cannot be kept.
        """
        kept = self.beside.submit(self.shelf.put, upload.data)
        name = plain(upload.name)
        decode = cache(partial(_decode, upload.data, name))
        inspection = _inspect(bundle, name, decode, alone=alone, evidence=bundle.inspector.has_evidence)
        sha256 = kept.result()
        if not inspection.error:
            self._keep_made(sha256, name, inspection)
        opinion = self._opinion(inspection, name, decode, alone=alone) if self.shadow else None
        return _entry(upload, at, name, sha256, inspection, opinion)

    def _keep_made(self, sha256: str, name: str, inspection: Inspection) -> None:
        """Keep what the bundle made of a picture; what cannot be drawn or encoded never costs the verdict."""
        try:
            self.shelf.put_made(sha256, inspection.model, restored=inspection.restored, evidence=inspection.evidence)
        except ShelfAway:
            raise
        except Exception:
            _SAID.exception("what was made of a picture of %r could not be kept", name)

    def _opinion(self, decided: Inspection, name: str, decode: Decode, *, alone: bool) -> Opinion:
        """What the bundle in shadow says; whatever happens to it, the answer stands."""
        assert self.shadow, "asked for an opinion without a bundle in shadow"
        if self.shadow.loaded is None:
            return _no_opinion(self.shadow.path.name, self.shadow.fault)
        if decided.error:  # no bundle can say anything of it
            return _no_opinion(self.shadow.loaded.inspector.name, decided.error)
        said = _inspect(self.shadow.loaded, name, decode, alone=alone, evidence=False)
        return Opinion(
            model=said.model, verdict=said.verdict, p_defect=said.p_defect, threshold=said.threshold, error=said.error
        )


def plain(name: str) -> str:
    r"""A sender's name for a picture as text that every database and page can hold, at most 255 characters.

    >>> plain("a\0b\n.jpg"), plain("fish\u202egpj.exe"), plain("Bild\u202f1.jpg")
    ('a\ufffdb\ufffd.jpg', 'fish\ufffdgpj.exe', 'Bild 1.jpg')
    """
    return "".join(map(_shown, name[:_LONGEST]))


def _shown(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character if character.isprintable() else "\ufffd"


def _decode(data: bytes, name: str, channels: Channels) -> Picture:
    return imaging.decode(data, channels, name)


def _inspect(bundle: Loaded, name: str, decode: Decode, *, alone: bool, evidence: bool) -> Inspection:
    """An inspection in any case: what nobody thought of is an error of this one picture."""
    item = Item(name=name, key=name, read=lambda: decode(bundle.inspector.channels))
    try:
        return bundle.inspect(item, alone=alone, evidence=evidence)
    except Exception as error:  # such as too little memory to decode it
        _SAID.exception("a picture of %r could not be inspected", name)
        reason = f"could not be inspected here ({type(error).__name__}); tell whoever looks after the station"
        inspector = bundle.inspector
        return failed_inspection(name, None, f"{name}: {reason}", threshold=inspector.threshold, model=inspector.name)


def _no_opinion(model: str, error: str) -> Opinion:
    return Opinion(model=model, verdict=None, p_defect=None, threshold=None, error=error)


def _entry(upload: Upload, at: int, name: str, sha256: str, inspection: Inspection, opinion: Opinion | None) -> Entry:
    looks = inspection.looks
    height, width = inspection.shape or (None, None)
    return Entry(
        at=at,
        name=name,
        station=plain(upload.station),
        sha256=sha256,
        size=len(upload.data),
        width=width,
        height=height,
        verdict=inspection.verdict,
        p_defect=inspection.p_defect,
        threshold=inspection.threshold,
        noise_type=inspection.noise_type,
        noise_level=inspection.noise_level,
        p_noise=inspection.p_noise,
        ms=inspection.ms,
        model=inspection.model,
        error=inspection.error,
        brightness=looks.brightness if looks else None,
        sharpness=looks.sharpness if looks else None,
        sigma=looks.sigma if looks else None,
        density=looks.density if looks else None,
        shadow=opinion,
        pixels=inspection.pixels,
    )
