"""Structure parser for JPEG files."""

from clearcast.decoding.exif import require_bounded_exif
from clearcast.decoding.mpo import count_pictures
from clearcast.decoding.records import Structure, refuse_damage
from clearcast.decoding.segments import read_segments

_MAX_WORK = 1_000_000_000  # pixels times scans; takes some seconds
_MAX_PADDING = 64  # bytes after the end marker


def read_structure(data: bytes) -> Structure:
    """Parse the segments of a JPEG file, and those of further images in it."""
    segments = read_segments(data)
    require_bounded_exif(b"".join(segments.exif))
    if segments.size is None:
        raise refuse_damage("the frame header is missing")
    width, height = segments.size
    return Structure(
        format="JPEG",
        width=width,
        height=height,
        frames=count_pictures(data, segments),
        unit="image",
        truncated="" if segments.end else "the end marker is missing",
        bounded=segments.huffman and width * height * max(segments.scans, 1) <= _MAX_WORK,
        has_trailing_data=segments.end is not None and len(data) - segments.end > _MAX_PADDING,
    )
