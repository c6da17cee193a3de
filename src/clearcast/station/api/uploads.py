"""From the files of a form to what the desk inspects, and what is logged of those that it does not get."""

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
    """Which station sent a form, as it says; else this one.

    Raises:
        HTTPException: 422, its name is too long.
    """
    said = form.station
    if len(said) > LONGEST_STATION:
        raise refused(422, f"The station's name has {len(said)} characters; at most {LONGEST_STATION} are taken")
    return clean(said, LONGEST_STATION) or station.name


def sift_all(files: Sequence[ReceivedFile], name: str, limits: Limits) -> list[Upload | Refusal]:
    """Look at each file before it is decoded."""
    return [_sifted(file, name, limits) for file in files]


def _sifted(file: ReceivedFile, name: str, limits: Limits) -> Upload | Refusal:
    if file.size > limits.bytes:
        return too_large(file.name, file.size, name, limits)
    return sift(io.BytesIO(file.data), file.name, name, limits)


def entry_of(refusal: Refusal, file: ReceivedFile, station: Station) -> Entry:
    """What is logged of a file that did not get to the desk; its bytes are not kept."""
    upload, state = refusal.upload, station.desk.state()
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
