"""Tables of the study as plain text cells, shared by the page and the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import rich.table
from rich.text import Text

from clearcast.core.evidence_schema import Evidence, StageComparison, ValueWithCI
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, QUALITY_MEASURES
from clearcast.metrics.results import (
    ClassificationResult,
    DenoisingResult,
    QualityMeasure,
    QualityMetrics,
    RunInfo,
    StudyMetrics,
)
from clearcast.report.formatting import format_bounds, format_decimal, format_mean_and_std, format_value_with_ci
from clearcast.report.run_reader import classification_stages, denoising_stage, display_name, short_stage_title

STAGE_NUMBERS = {"reference": "0", "noisy": "1", "noise_type": "2", "denoising": "3", "denoised": "4", "transfer": "T"}
VERDICT_STAGE_NAMES = {
    "noisy": "Noisy (stage 1)",
    "denoised": "Denoised (stage 4)",
    "transfer": "Denoised (stage 1's network)",
    "reference": "Noise-free (ceiling)",
}
INTERVAL_HEADING = "95% interval"
_NOT_MEASURED = "not measured"
_Images = Literal["noisy", "denoised"]


@dataclass(frozen=True)
class TextTable:
    """A table of text; the first cell of each row is its heading. ``note`` stands below the table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def make_terminal_tables(metrics: StudyMetrics, evidence: Evidence | None = None) -> list[rich.table.Table]:
    """Make terminal tables of all stages of a run, with the published results.

    With evidence each figure has its interval, and the table of stage 4 has a note on the effect of denoising.
    """
    tables = make_stage_tables(metrics, evidence)
    comparison = select_main_comparison(evidence)
    if comparison and comparison["second"] in tables:
        tables[comparison["second"]] = replace(tables[comparison["second"]], note=comparison["sentence"])
    return [_to_rich_table(table) for table in tables.values()]


def make_stage_tables(metrics: StudyMetrics, evidence: Evidence | None) -> dict[str, TextTable]:
    """Make the tables of all stages by stage, in the order of the study."""
    figures = evidence["classification"] if evidence else {}
    tables = {
        key: _classification_table(key, stage, figures.get(key))
        for key, stage in classification_stages(metrics).items()
    }
    denoising = denoising_stage(metrics)
    if denoising:
        tables["denoising"] = _denoising_table(denoising, evidence)
    return {key: tables[key] for key in STAGE_NUMBERS if key in tables}


def select_main_comparison(evidence: Evidence | None) -> StageComparison | None:
    """Select the comparison that shows the effect of denoising: stage 4, or else ``transfer``, against stage 1."""
    comparisons = evidence["comparisons"] if evidence else []
    by_second = {each["second"]: each for each in comparisons if each["first"] == "noisy"}
    return by_second.get("denoised") or by_second.get("transfer")


def make_noise_table(stage: DenoisingResult, evidence: Evidence | None) -> TextTable:
    """Make the table of image quality by noise type, noisy and denoised in turn: means over images.

    Each mean has its interval if there is evidence, or else its standard deviation.
    """
    names = sorted(stage["denoised"], key=lambda name: name == "all")
    psnr, *others = (info.label for info in QUALITY_MEASURES.values())
    columns = ("Noise", "Images", psnr, f"Gain, {QUALITY_MEASURES['psnr'].unit}", *others)
    rows = tuple(_noise_row(stage, name, which, evidence) for name in names for which in ("noisy", "denoised"))
    content = f"mean ({INTERVAL_HEADING})" if evidence else "mean ± standard deviation"
    return TextTable(f"Denoising by noise type, {content}", columns, rows)


def _lpips_note_text(stage: DenoisingResult) -> str:
    """Write the note on LPIPS as a sentence; empty if there is none."""
    start = "LPIPS" if stage["denoised"]["all"]["lpips"] else "LPIPS was not measured"
    if stage["lpips_note"]:
        return f"{start}: {stage['lpips_note'].rstrip('.')}."
    return "" if stage["denoised"]["all"]["lpips"] else f"{start}."


def make_row_counts_table(run: RunInfo) -> TextTable:
    """Make the table of rows by label, noise type and subset."""
    subsets = tuple(run["counts"])
    groups = {
        group: list(dict.fromkeys(name for subset in subsets for name in run["counts"][subset][group]))
        for group in ("label", "noise")
    }
    rows = [
        (display_name(name), *(str(run["counts"][subset][group].get(name, 0)) for subset in subsets))
        for group, names in groups.items()
        for name in names
    ]
    total = ("All", *(str(sum(run["counts"][subset]["label"].values())) for subset in subsets))
    return TextTable("Rows of the sheet", ("", *(subset.capitalize() for subset in subsets)), (*rows, total))


def psnr_gain(stage: DenoisingResult, name: str = "all") -> float | None:
    """Compute the gain in mean PSNR, in dB; None if one of the two means is not finite."""
    before, after = stage["noisy"][name]["psnr"]["mean"], stage["denoised"][name]["psnr"]["mean"]
    return None if before is None or after is None else after - before


def _noise_row(stage: DenoisingResult, name: str, which: _Images, evidence: Evidence | None) -> tuple[str, ...]:
    metrics = stage[which][name]
    gain = ""
    if which == "denoised":
        figure = evidence.get("gain", {}).get(name, {}).get("psnr") if evidence else None
        gain = (
            format_value_with_ci(figure, 2, sign=True)
            if figure
            else format_decimal(psnr_gain(stage, name), 2, sign=True)
        )
    if evidence:
        figures = evidence["restoration"].get(which, {}).get(name, {})
        psnr, *others = (_mean_and_interval_cell(metrics, measure, figures) for measure in QUALITY_MEASURES)
    else:
        psnr, *others = (_mean_and_std_cell(metrics, measure) for measure in QUALITY_MEASURES)
    return (f"{display_name(name)}, {which}", str(metrics["images"]), psnr, gain, *others)


def _classification_table(key: str, stage: ClassificationResult, figures: dict[str, ValueWithCI] | None) -> TextTable:
    published = stage["published"] or {}
    rows = tuple(
        (
            info.title,
            format_decimal(_stage_value(stage, name, figures), info.published_decimals),
            *([format_bounds(figures.get(name), info.decimals)] if figures else []),
            format_decimal(published.get(name), info.published_decimals),
        )
        for name, info in CLASSIFICATION_MEASURES.items()
        if name in stage["metrics"]
    )
    return TextTable(
        _table_title(key, stage["title"]),
        ("Measure", "Ours", *([INTERVAL_HEADING] if figures else []), "Published"),
        rows,
    )


def _stage_value(stage: ClassificationResult, name: str, figures: dict[str, ValueWithCI] | None) -> float | None:
    """Value of a measure; older runs stored 0 for undefined values, which their evidence has as None."""
    figure = (figures or {}).get(name)
    return None if figure and figure["value"] is None else stage["metrics"][name]  # type: ignore[literal-required]


def _denoising_table(stage: DenoisingResult, evidence: Evidence | None) -> TextTable:
    published = stage["published"] or {}
    columns, cells_by_column = ["Mean ± standard deviation"], []
    headings: Mapping[_Images, str] = {"noisy": "Noisy", "denoised": "Denoised (ours)"}
    for which, heading in headings.items():
        columns.append(heading)
        cells_by_column.append([_mean_and_std_cell(stage[which]["all"], name) for name in QUALITY_MEASURES])
        if evidence:
            figures = evidence["restoration"].get(which, {}).get("all", {})
            columns.append(INTERVAL_HEADING)
            cells_by_column.append(
                [format_bounds(figures.get(name), info.published_decimals) for name, info in QUALITY_MEASURES.items()]
            )
    rows = tuple(
        (info.label, *cells, format_decimal(published.get(name), info.published_decimals))
        for (name, info), *cells in zip(QUALITY_MEASURES.items(), *cells_by_column, strict=True)
    )
    return TextTable(_table_title("denoising", stage["title"]), (*columns, "Published"), rows, _lpips_note_text(stage))


def _table_title(key: str, title: str) -> str:
    return short_stage_title(title) if key == "transfer" else f"Table {STAGE_NUMBERS[key]}. {short_stage_title(title)}"


def _mean_and_std_cell(metrics: QualityMetrics, name: QualityMeasure) -> str:
    spread = metrics[name]
    return _NOT_MEASURED if spread is None else format_mean_and_std(spread, QUALITY_MEASURES[name].published_decimals)


def _mean_and_interval_cell(metrics: QualityMetrics, name: QualityMeasure, figures: dict[str, ValueWithCI]) -> str:
    if metrics[name] is None:
        return _NOT_MEASURED
    return format_value_with_ci(figures.get(name), QUALITY_MEASURES[name].published_decimals)


def _to_rich_table(table: TextTable) -> rich.table.Table:
    note = Text(table.note) if table.note else None  # plain text: square brackets in it are no markup
    printed = rich.table.Table(title=table.title, title_justify="left", caption=note, caption_justify="left")
    printed.add_column(table.columns[0])
    for column in table.columns[1:]:
        printed.add_column(column, justify="right")
    for row in table.rows:
        printed.add_row(*row)
    return printed
