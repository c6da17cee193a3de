"""The structure of JPEG files."""

from clearcast.decoding.exif import require_bounded_exif
from clearcast.decoding.mpo import count_pictures
from clearcast.decoding.records import Structure, refuse_damage
from clearcast.decoding.segments import read_segments

_MOST_WORK = 1_000_000_000  # pixels times scans that are decoded in some seconds
_TAIL = 64  # bytes behind the end mark that are nothing but filling


def read_structure(data: bytes) -> Structure:
    """Walk through the segments of a JPEG, and through those of further pictures that it lists."""
    met = read_segments(data)
    require_bounded_exif(b"".join(met.exif))
    if met.size is None:
        raise refuse_damage("it has no frame header")
    width, height = met.size
    return Structure(
        format="JPEG",
        width=width,
        height=height,
        frames=count_pictures(data, met),
        unit="picture",
        truncated="" if met.end else "it has no end mark",
        bounded=met.usual and width * height * max(met.scans, 1) <= _MOST_WORK,
        goes_on=met.end is not None and len(data) - met.end > _TAIL,
    )
