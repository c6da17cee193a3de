"""The options of every command that reads a sheet, declared once."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from clearcast.cli.output import console
from clearcast.data.sheet import Columns, Reading, Sheet, read_sheet

Root = Annotated[
    Path | None, typer.Option(help="Folder that the sheet's paths are relative to. [default: the sheet's]")
]
Worksheet = Annotated[
    str | None,
    typer.Option(help="Of a workbook, the worksheet to read.", show_default="the first that has the columns"),
]
StripPrefix = Annotated[
    list[str] | None,
    typer.Option(
        help="Take this off the beginning of paths, such as 'C:\\data' or file:///data; several are allowed.",
        show_default="nothing",
    ),
]
_NAMED: dict[str, tuple[Any, Any]] = {
    "root": (Root, None),
    "worksheet": (Worksheet, None),
    "strip_prefix": (StripPrefix, None),
    "noisy_column": (Annotated[str, typer.Option(help="Column of the noisy pictures' paths.")], Columns.noisy),
    "noise_column": (Annotated[str, typer.Option(help="Column of the noise types.")], Columns.noise_type),
    "reference_column": (
        Annotated[str, typer.Option(help="Column of the noise-free pictures' paths.")],
        Columns.reference,
    ),
    "label_column": (
        Annotated[str | None, typer.Option(help="Column of the labels.", show_default="the words of the paths")],
        None,
    ),
    "group_column": (
        Annotated[
            str | None,
            typer.Option(help="Column that names the part each row shows.", show_default="Group, where there is one"),
        ],
        None,
    ),
    "ok_value": (
        Annotated[
            list[str] | None,
            typer.Option(help="A word that means ok, in labels and paths; several are allowed.", show_default="none"),
        ],
        None,
    ),
    "defect_value": (
        Annotated[
            list[str] | None,
            typer.Option(
                help="A word that means defect, in labels and paths; several are allowed.", show_default="none"
            ),
        ],
        None,
    ),
}


@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """What a user said of a sheet."""

    root: Path | None
    columns: Columns
    reading: Reading

    def read(self, path: Path, *, subset: str | None = None, tell: bool = True) -> Sheet:
        """Read a sheet.

        Args:
            path: the sheet.
            subset: its column that says how to divide the rows, if that is wanted.
            tell: print what a person should know of how it was read.

        Raises:
            SheetError: see ``read_sheet``.
        """
        columns = replace(self.columns, subset=subset)
        sheet = read_sheet(path, columns=columns, root=self.root, reading=self.reading)
        for note in sheet.notes if tell else ():
            console.print(
                f"Beware: {note.kind}: {note.message}", style="yellow", markup=False, highlight=False, soft_wrap=True
            )
        return sheet


def with_sheet_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options about its sheet; it gets them as one argument, ``options``."""
    return _with_options(command, _NAMED)


def with_sheet_options_but_root(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command whose sheet lies where its pictures are."""
    return _with_options(command, {name: option for name, option in _NAMED.items() if name != "root"})


def _with_options(command: Callable[..., None], named: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    @functools.wraps(command)
    def gathered(*arguments: Any, **values: Any) -> None:  # noqa: ANN401 -- whatever the command takes
        given = {name: values.pop(name, default) for name, (_, default) in named.items()}
        command(*arguments, **values, options=_gather(**given))

    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in named.items()
    ]
    gathered.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    gathered.__annotations__ = {each.name: each.annotation for each in (*own, *added)} | {"return": None}
    return gathered


def _gather(
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
