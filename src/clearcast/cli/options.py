"""Arguments and options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearcast.cli.output import print_warning
from clearcast.data.sheet import Sheet, SheetColumns, SheetReading, read_sheet

if TYPE_CHECKING:
    from clearcast.bundle.signing import TrustedSigners


class Device(StrEnum):
    """The device that networks are trained on."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class ImageFormat(StrEnum):
    """The file format of denoised images."""

    PNG = "png"
    JPG = "jpg"


BundleArgument = Annotated[Path, typer.Argument(help="A bundle: its folder or its .zip.", metavar="BUNDLE")]
NewBundleArgument = Annotated[Path, typer.Argument(help="The new bundle: a folder, or one file if it ends in .zip.")]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Images inspected at a time, each on one core.", min=1, show_default="one a core")
]
BudgetOption = Annotated[
    float | None,
    typer.Option(help="Minutes for everything, on this machine.", show_default="the recipe's number of steps"),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue where it stopped.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Delete what the folder holds and start again.")]
TrainedSheetOption = Annotated[
    Path | None,
    typer.Option(help="The sheet that it was trained on, if it was moved.", show_default="where it was"),
]
TrustOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust",
        help="A public key (see keygen): accept only bundles that its private key signed; repeatable.",
        show_default="hashes only",
    ),
]
SheetArgument = Annotated[
    Path, typer.Argument(help="The sheet: .xlsx, .xlsm, .xls, .csv or .parquet.", metavar="SHEET")
]
EscapeCostOption = Annotated[
    float | None,
    typer.Option(help="Cost of an escape (a defect called ok), in any unit.", show_default="the last one, or 1"),
]
OverkillCostOption = Annotated[
    float | None,
    typer.Option(help="Cost of an overkill (an ok part called defect).", show_default="the last one, or 1"),
]
MaxEscapeOption = Annotated[
    float | None, typer.Option(help="Largest share of defects that may escape, such as 0.01; instead of costs.")
]
MaxRiskOption = Annotated[
    float | None, typer.Option(help="Retake images so that at most this share of the verdicts is wrong.")
]
MinCoverageOption = Annotated[float | None, typer.Option(help="Retake images, but give at least this share a verdict.")]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0, max=2**31 - 1)]
DeviceOption = Annotated[Device, typer.Option(help="Train on this device; auto takes a GPU if there is one.")]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="Leave out unusable rows.")]
SplitOption = Annotated[
    str,
    typer.Option(
        help="Split the rows: grouped (whole parts), random (as published), column (see --split-column), or the "
        "split.csv of another run.",
        show_default="grouped, if a part is shown twice",
    ),
]
GroupsOption = Annotated[
    Path | None, typer.Option(help="A table of the images that show one part, with the columns path and group.")
]
ValidationShareOption = Annotated[
    float | None,
    typer.Option(
        help="Share of the training rows that choose the threshold.", min=0, max=0.9, show_default="0.15, random: none"
    ),
]
SplitColumnOption = Annotated[str, typer.Option(help="Column of --split column, with train, validation or test.")]
RootOption = Annotated[
    Path | None, typer.Option(help="Folder that the sheet's paths are relative to.", show_default="the sheet's")
]
WorksheetOption = Annotated[
    str | None,
    typer.Option(help="Worksheet of a workbook.", show_default="the first that has the columns"),
]
StripPrefixOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Remove this prefix, such as 'C:\\data' or file:///data, from paths; repeatable.",
        show_default="nothing",
    ),
]
NoisyColumnOption = Annotated[str, typer.Option(help="Column of the noisy images' paths.")]
_SHEET_OPTIONS: dict[str, tuple[Any, Any]] = {  # annotation and default, by parameter
    "root": (RootOption, None),
    "worksheet": (WorksheetOption, None),
    "strip_prefix": (StripPrefixOption, None),
    "noisy_column": (NoisyColumnOption, SheetColumns.noisy),
    "noise_column": (Annotated[str, typer.Option(help="Column of the noise types.")], SheetColumns.noise_type),
    "reference_column": (
        Annotated[str, typer.Option(help="Column of the noise-free images' paths.")],
        SheetColumns.reference,
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
    """Options of a command that reads a sheet."""

    root: Path | None
    columns: SheetColumns
    reading: SheetReading

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
            print_warning(f"{note.kind}: {note.message}")
        return sheet


def read_trust_option(keys: list[Path] | None) -> "TrustedSigners | None":
    """Read the public keys of ``--trust``; None if it is not given.

    Raises:
        OutputError: a file is not a public key.
    """
    from clearcast.bundle.signing import read_trusted_signers

    return read_trusted_signers(keys) if keys else None


def with_sheet_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add all sheet options to a command, which gets them as one argument, ``options``; a decorator."""
    return _with_options(command, _SHEET_OPTIONS)


def with_sheet_options_but_root(command: Callable[..., None]) -> Callable[..., None]:
    """Add all sheet options but ``--root`` to a command."""
    return _with_options(command, {name: option for name, option in _SHEET_OPTIONS.items() if name != "root"})


def _with_options(command: Callable[..., None], added: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    @functools.wraps(command)
    def wrapped(*arguments: Any, **values: Any) -> None:  # noqa: ANN401 -- whatever the command takes
        given = {name: values.pop(name, default) for name, (_, default) in added.items()}
        command(*arguments, **values, options=_make_sheet_options(**given))

    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    parameters = own + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in added.items()
    ]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return wrapped


def _make_sheet_options(
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
    columns = SheetColumns(
        noisy=noisy_column, noise_type=noise_column, reference=reference_column, label=label_column, group=group_column
    )
    reading = SheetReading(
        worksheet=worksheet,
        strip_prefix=tuple(strip_prefix or ()),
        ok_values=tuple(ok_value or ()),
        defect_values=tuple(defect_value or ()),
    )
    return SheetOptions(root=root, columns=columns, reading=reading)
