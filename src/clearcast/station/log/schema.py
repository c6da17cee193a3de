"""Tables of the log, and values in a form that every database accepts."""

import math

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite increments "INTEGER" keys only
_HASH = String(64).with_variant(String(64, collation="C"), "postgresql")  # so that a prefix is a range

metadata = MetaData()

# Logs keep the names of their first version: "kinds" has the dimension rows, "tallies" the rollups.
dimensions_table = Table(
    "kinds",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("verdict", Text, nullable=False),  # "" if there is none, also of the noise type
    Column("noise_type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("station", Text, nullable=False),
    Column("disagreement", Text, nullable=False),
    Column("shadow_differs", Boolean, nullable=False),
    Column("has_feedback", Boolean, nullable=False),
    Column("has_brightness", Boolean, nullable=False),  # so that no separate number of values is needed for means
    Column("has_sharpness", Boolean, nullable=False),
    Column("has_p_defect", Boolean, nullable=False),
    UniqueConstraint(
        "model",
        "station",
        "verdict",
        "noise_type",
        "disagreement",
        "shadow_differs",
        "has_feedback",
        "has_brightness",
        "has_sharpness",
        "has_p_defect",
        name="kinds_once",
    ),
)

inspections_table = Table(
    "inspections",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind_id", _NUMBER, ForeignKey("kinds.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),  # the name, case-folded
    Column("sha256", _HASH, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("p_defect", Double),
    Column("threshold", Double),
    Column("margin", Double),  # distance of p_defect from the threshold, in log-odds
    Column("noise_level", Text, nullable=False),
    Column("p_noise", Double),
    Column("ms", Double),
    Column("error", Text, nullable=False),
    Column("brightness", Double),
    Column("sharpness", Double),
    Column("sigma", Double),
    Column("density", Double),
    Column("shadow_model", Text),  # None: there is no shadow bundle
    Column("shadow_verdict", Text),
    Column("shadow_p_defect", Double),
    Column("shadow_threshold", Double),
    Column("shadow_error", Text),
    # The first two indexes cover pages with any filter, the third counts of names.
    Index("inspections_by_time", "at", "id", "kind_id", "folded"),
    Index("inspections_by_margin", "margin", "id", "at", "kind_id", "folded"),
    Index("inspections_by_kind", "kind_id", "at", "folded", "brightness", "sharpness", "p_defect"),
    Index("inspections_by_hash", "sha256"),
    sqlite_autoincrement=True,  # ids are never reused
)

feedback_table = Table(
    "feedback",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("inspection_id", _NUMBER, ForeignKey("inspections.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("says", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("settles", Boolean, nullable=False),
    Index("feedback_by_inspection", "inspection_id", "id"),
    sqlite_autoincrement=True,
)

rollups_table = Table(
    "tallies",
    metadata,
    Column("width", BigInteger, primary_key=True, autoincrement=False),  # of the time span, in milliseconds
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # a multiple of its width
    Column("kind_id", _NUMBER, ForeignKey("kinds.id"), primary_key=True, autoincrement=False),
    Column("inspections", BigInteger, nullable=False),
    Column("brightness", Double, nullable=False),  # the sum
    Column("sharpness", Double, nullable=False),
    Column("p_defect", Double, nullable=False),
    sqlite_with_rowid=False,
)

settings_table = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


def to_database_text(text: str) -> str:
    r"""Replace characters that databases cannot store: NUL and lone surrogates.

    >>> to_database_text("part\x00.jpg")
    'part�.jpg'
    """
    return text.replace("\x00", "�").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def fold_case(text: str) -> str:
    """Return the case-folded text, for searching.

    >>> fold_case("Straße.JPG")
    'strasse.jpg'
    """
    return to_database_text(text).casefold()


def finite_or_none(value: float | None) -> float | None:
    """Return a finite value, else None: NaN or infinity would invalidate every mean.

    >>> finite_or_none(float("nan")) is None
    True
    """
    return value if value is not None and math.isfinite(value) else None
