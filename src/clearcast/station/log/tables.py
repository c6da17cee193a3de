"""The tables of the log, as the newest migration leaves them.

Everything by which inspections are filtered and counted, but for time and name, is in ``kinds``: few rows, each one
combination that occurred. An inspection refers to its kind, so that a filter is a set of kinds, and whole spans of time
are counted beforehand by kind (``tallies``).
"""

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

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # only "INTEGER" counts up by itself there
_HASH = String(64).with_variant(String(64, collation="C"), "postgresql")  # so that its beginning is a range

metadata = MetaData()

kinds = Table(
    "kinds",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("verdict", Text, nullable=False),  # "" where there is none, also of the noise type
    Column("noise_type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("station", Text, nullable=False),
    Column("disagreement", Text, nullable=False),
    Column("shadow_differs", Boolean, nullable=False),
    Column("has_feedback", Boolean, nullable=False),
    Column("has_brightness", Boolean, nullable=False),  # so that the number of those that have one need not be summed
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

inspections = Table(
    "inspections",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind_id", _NUMBER, ForeignKey("kinds.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),  # the name without the case of its letters
    Column("sha256", _HASH, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("p_defect", Double),
    Column("threshold", Double),
    Column("margin", Double),  # how far p_defect is from the threshold, in log-odds
    Column("noise_level", Text, nullable=False),
    Column("p_noise", Double),
    Column("ms", Double),
    Column("error", Text, nullable=False),
    Column("brightness", Double),
    Column("sharpness", Double),
    Column("sigma", Double),
    Column("density", Double),
    Column("shadow_model", Text),  # None: there is no bundle in shadow
    Column("shadow_verdict", Text),
    Column("shadow_p_defect", Double),
    Column("shadow_threshold", Double),
    Column("shadow_error", Text),
    # A page is found within one of the first two indexes alone, whatever is filtered; counts of a name in the third.
    Index("inspections_by_time", "at", "id", "kind_id", "folded"),
    Index("inspections_by_margin", "margin", "id", "at", "kind_id", "folded"),
    Index("inspections_by_kind", "kind_id", "at", "folded", "brightness", "sharpness", "p_defect"),
    Index("inspections_by_hash", "sha256"),
    sqlite_autoincrement=True,  # a number is never given twice
)

feedback = Table(
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

tallies = Table(
    "tallies",
    metadata,
    Column("width", BigInteger, primary_key=True, autoincrement=False),  # of the span of time, in milliseconds
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # a multiple of its width
    Column("kind_id", _NUMBER, ForeignKey("kinds.id"), primary_key=True, autoincrement=False),
    Column("inspections", BigInteger, nullable=False),
    Column("brightness", Double, nullable=False),  # the sum
    Column("sharpness", Double, nullable=False),
    Column("p_defect", Double, nullable=False),
    sqlite_with_rowid=False,
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
