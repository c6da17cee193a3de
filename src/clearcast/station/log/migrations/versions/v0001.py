"""The first tables of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_HASH = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    _create_kinds()
    _create_inspections()
    _create_feedback()
    _create_tallies()
    op.create_table("settings", sa.Column("name", sa.Text, primary_key=True), _text("value"))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _create_kinds() -> None:
    texts = ("verdict", "noise_type", "model", "station", "disagreement")
    flags = ("shadow_differs", "has_feedback", "has_brightness", "has_sharpness", "has_p_defect")
    op.create_table(
        "kinds",
        sa.Column("id", _NUMBER, primary_key=True),
        *(_text(name) for name in texts),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in flags),
        sa.UniqueConstraint("model", "station", "verdict", "noise_type", "disagreement", *flags, name="kinds_once"),
    )


def _create_inspections() -> None:
    op.create_table(
        "inspections",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind_id", _NUMBER, sa.ForeignKey("kinds.id"), nullable=False),
        _text("name"),
        _text("folded"),
        sa.Column("sha256", _HASH, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        *(sa.Column(name, sa.Double) for name in ("p_defect", "threshold", "margin")),
        _text("noise_level"),
        *(sa.Column(name, sa.Double) for name in ("p_noise", "ms")),
        _text("error"),
        *(sa.Column(name, sa.Double) for name in ("brightness", "sharpness", "sigma", "density")),
        *(sa.Column(name, sa.Text) for name in ("shadow_model", "shadow_verdict")),
        *(sa.Column(name, sa.Double) for name in ("shadow_p_defect", "shadow_threshold")),
        sa.Column("shadow_error", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("inspections_by_time", "inspections", ["at", "id", "kind_id", "folded"])
    op.create_index("inspections_by_margin", "inspections", ["margin", "id", "at", "kind_id", "folded"])
    counted = ["kind_id", "at", "folded", "brightness", "sharpness", "p_defect"]
    op.create_index("inspections_by_kind", "inspections", counted)
    op.create_index("inspections_by_hash", "inspections", ["sha256"])


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("inspection_id", _NUMBER, sa.ForeignKey("inspections.id"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(_text(name) for name in ("says", "note", "operator")),
        sa.Column("settles", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_by_inspection", "feedback", ["inspection_id", "id"])


def _create_tallies() -> None:
    op.create_table(
        "tallies",
        *(sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in ("width", "start")),
        sa.Column("kind_id", _NUMBER, sa.ForeignKey("kinds.id"), primary_key=True, autoincrement=False),
        sa.Column("inspections", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("brightness", "sharpness", "p_defect")),
        sqlite_with_rowid=False,
    )
