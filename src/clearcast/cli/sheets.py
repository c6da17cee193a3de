"""Options of every command that reads a sheet, declared once."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from clearcast.cli.output import warn
from clearcast.data.sheet import Columns, Reading, Sheet, read_sheet

Root = Annotated[
    Path | None, typer.Option(help="Folder that the sheet's paths are relative to.", show_default="the sheet's")
]
Worksheet = Annotated[
    str | None,
    typer.Option(help="Worksheet of a workbook.", show_default="the first that has the columns"),
]
StripPrefix = Annotated[
    list[str] | None,
    typer.Option(
        help="Remove this prefix, such as 'C:\\data' or file:///data, from paths; repeatable.",
        show_default="nothing",
    ),
]
NoisyColumn = Annotated[str, typer.Option(help="Column of the noisy images' paths.")]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "root": (Root, None),
    "worksheet": (Worksheet, None),
    "strip_prefix": (StripPrefix, None),
    "noisy_column": (NoisyColumn, Columns.noisy),
    "noise_column": (Annotated[str, typer.Option(help="Column of the noise types.")], Columns.noise_type),
    "reference_column": (
        Annotated[str, typer.Option(help="Column of the noise-free images' paths.")],
        Columns.reference,
    ),
    "label_column": (
        Annotated[str | None, typer.Option(help="Column of the labels.", show_default="words in the paths")],
        None,
    ),
    "group_column": (
        Annotated[
            str | None,
            typer.Option(help="Column of the part that each row shows.", show_default="Group, if there is one"),
        ],
        None,
    ),
    "ok_value": (
        Annotated[
            list[str] | None,
            typer.Option(help="A word that means ok in labels and paths; repeatable.", show_default="none"),
        ],
        None,
    ),
    "defect_value": (
        Annotated[
            list[str] | None,
            typer.Option(help="A word that means defect in labels and paths; repeatable.", show_default="none"),
        ],
        None,
    ),
}


@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """How to read a sheet, by the options of a command."""

    root: Path | None
    columns: Columns
    reading: Reading

    def read(self, path: Path, *, subset: str | None = None, notes: bool = True) -> Sheet:
        """Read a sheet.

        Args:
            path: the sheet.
            subset: the column that splits the rows, if there is one.
            notes: print warnings about how it was read.

        Raises:
            SheetError: see ``read_sheet``.
        """
        columns = replace(self.columns, subset=subset)
        sheet = read_sheet(path, columns=columns, root=self.root, reading=self.reading)
        for note in sheet.notes if notes else ():
            warn(f"{note.kind}: {note.message}")
        return sheet


def with_sheet_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add all sheet options to a command, which gets them as one argument, ``options``."""
    return _with_options(command, _OPTIONS)


def with_sheet_options_but_root(command: Callable[..., None]) -> Callable[..., None]:
    """Add all sheet options but ``--root`` to a command."""
    return _with_options(command, {name: option for name, option in _OPTIONS.items() if name != "root"})


def _with_options(command: Callable[..., None], named: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    @functools.wraps(command)
    def wrapped(*arguments: Any, **values: Any) -> None:  # noqa: ANN401 -- whatever the command takes
        given = {name: values.pop(name, default) for name, (_, default) in named.items()}
        command(*arguments, **values, options=_sheet_options(**given))

    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in named.items()
    ]
    wrapped.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*own, *added)} | {"return": None}
    return wrapped


def _sheet_options(
    *,
    root: Path | None = None,
    worksheet: str | None,
    strip_prefix: list[str] | None,
    noisy_column: str,
    noise_column: str,
    reference_column: str,
    label_column: str | None,
    group_column: str | None,
    ok_value: list[str] | None,
    defect_value: list[str] | None,
) -> SheetOptions:
    columns = Columns(
        noisy=noisy_column, noise_type=noise_column, reference=reference_column, label=label_column, group=group_column
    )
    reading = Reading(
        worksheet=worksheet,
        strip_prefix=tuple(strip_prefix or ()),
        ok_values=tuple(ok_value or ()),
        defect_values=tuple(defect_value or ()),
    )
    return SheetOptions(root=root, columns=columns, reading=reading)
