"""Conversion of form files to uploads for inspection, and log entries of rejected files."""

import io
import time
from collections.abc import Sequence

from clearcast.station.api.forms import ReceivedFile, ReceivedForm
from clearcast.station.api.gate import LONGEST_STATION, Refusal, clean, sift, too_large
from clearcast.station.api.problems import refused
from clearcast.station.api.station import Limits, Station
from clearcast.station.desk import Upload
from clearcast.station.records import Entry


def station_name(form: ReceivedForm, station: Station) -> str:
    """Name of the station that sent a form; by default this one.

    Raises:
        HTTPException: 422, the name is too long.
    """
    name = form.station
    if len(name) > LONGEST_STATION:
        raise refused(422, f"The station's name has {len(name)} characters; the limit is {LONGEST_STATION}")
    return clean(name, LONGEST_STATION) or station.name


def sift_all(files: Sequence[ReceivedFile], name: str, limits: Limits) -> list[Upload | Refusal]:
    """Check all files of a form before decoding."""
    return [_check(file, name, limits) for file in files]


def _check(file: ReceivedFile, name: str, limits: Limits) -> Upload | Refusal:
    if file.size > limits.bytes:
        return too_large(file.name, file.size, name, limits)
    return sift(io.BytesIO(file.data), file.name, name, limits)


def entry_of(refusal: Refusal, file: ReceivedFile, station: Station) -> Entry:
    """Create the log entry of a rejected file; its bytes are not stored."""
    upload, state = refusal.upload, station.service.state()
    return Entry(
        at=time.time_ns() // 1_000_000,
        name=upload.name,
        station=upload.station,
        sha256=file.digest.hexdigest(),
        size=file.size,
        width=None,
        height=None,
        verdict=None,
        p_defect=None,
        threshold=state.threshold,
        noise_type=None,
        noise_level="",
        p_noise=None,
        ms=None,
        model=state.model or "",
        error=refusal.reason,
    )
