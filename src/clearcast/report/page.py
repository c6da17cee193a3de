"""Report page of a run: one self-contained HTML file, and its charts as PNG."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clearcast.core.errors import OutputError
from clearcast.metrics.results import RunInfo
from clearcast.report import example_images, summary
from clearcast.report.analysis_panels import AnalysisSection, make_analysis_sections
from clearcast.report.caveats import list_caveats, list_remarks
from clearcast.report.charts.style import Chart, remove_stale_charts
from clearcast.report.formatting import format_duration, render_template
from clearcast.report.run_reader import RunResults, display_name, read_run_results
from clearcast.report.stage_panels import StageSection, make_accuracy_chart, make_stage_sections
from clearcast.report.study_tables import make_row_counts_table


def write_report(run: Path) -> Path:
    """Write ``report.html`` and ``figures/`` into a run directory and return the page's path.

    Raises:
        OutputError: the folder is not a run directory, or cannot be written.
    """
    results = read_run_results(run)
    page = run / "report.html"
    temporary = page.with_suffix(".part")
    try:
        (run / "figures").mkdir(exist_ok=True)
        content = _make_content(results)
        temporary.write_text(_render(results, content), encoding="utf-8")
        temporary.replace(page)
        remove_stale_charts(run / "figures", content.charts())
    except OSError as error:
        raise OutputError(f"{page}: cannot be written ({error}); free some space or correct the permissions") from None
    return page


@dataclass(frozen=True)
class _Content:
    """The sections of the page with charts: effect of denoising, overview, analyses and stages."""

    denoising_effect: summary.DenoisingEffect | None
    overview: Chart | None
    analyses: list[AnalysisSection]
    stages: list[StageSection]

    def charts(self) -> Iterator[Chart]:
        """All charts of the page."""
        effect = self.denoising_effect
        yield from (chart for chart in (effect and effect.chart, self.overview) if chart)
        for analysis in self.analyses:
            yield from (chart for panel in (*analysis.panels, *analysis.collapsed) for chart in panel.charts)
        yield from (chart for stage in self.stages for chart in stage.charts)


def _make_content(run: RunResults) -> _Content:
    return _Content(
        summary.describe_denoising_effect(run),
        make_accuracy_chart(run),
        make_analysis_sections(run),
        make_stage_sections(run),
    )


def _render(run: RunResults, content: _Content) -> str:
    return render_template(
        "page.html.j2",
        denoising_effect=content.denoising_effect,
        overview=content.overview,
        analyses=content.analyses,
        stages=content.stages,
        **_summary_context(run),
        **_example_context(run),
        **_details_context(run),
    )


def _summary_context(run: RunResults) -> dict[str, object]:
    """Template variables of the header and the first screen, apart from charts."""
    info = run.metrics["run"]
    return {
        "subject": Path(info["sheet"]).name,
        "recipe": str(info["recipe"].get("name", "")),
        "started": _time_text(info["started"]),
        "folds": _folds(run),
        "headline": summary.write_headline(run),
        "verdicts": summary.make_verdict_grid(run),
        "quality": summary.make_quality_grid(run),
        "caveats": list_caveats(run),
    }


def _example_context(run: RunResults) -> dict[str, object]:
    """Template variables of the gallery and the wrong verdicts."""
    return {
        "gallery": example_images.make_gallery(run) if "denoising" in run.metrics["stages"] else [],
        "noises": {noise: display_name(noise) for noise in run.predictions["noise_type"].unique()},
        "sizes": {
            "spread": example_images.GALLERY_SPREAD,
            "worst": example_images.GALLERY_WORST,
            "best": example_images.GALLERY_BEST,
        },
        "images": len(run.predictions),
        "mistakes": example_images.list_wrong_verdicts(run),
    }


def _details_context(run: RunResults) -> dict[str, object]:
    """Template variables of the run details and the footer."""
    info = run.metrics["run"]
    return {
        "facts": _facts(info),
        "settings": list(_flatten(info["recipe"])),
        "remarks": list_remarks(run),
        "left_out": info["left_out"],
        "counts": make_row_counts_table(info),
        "has_evidence": run.evidence is not None,
    }


def _folds(run: RunResults) -> list[tuple[str, str]]:
    """Name of each fold and the address of its page, empty if it has no page yet."""
    names = [f"fold-{fold}" for fold in range(1, run.metrics["run"].get("folds", 1) + 1)]
    if len(names) == 1:
        return []
    return [(name, f"{name}/report.html" if (run.folder / name / "report.html").is_file() else "") for name in names]


def _facts(info: RunInfo) -> dict[str, str]:
    """Run details by name, without those that older runs lack."""
    facts = {
        "Sheet": info["sheet"],
        "Sheet's SHA-256": info["sheet_sha256"],
        "Root of the images": info["root"],
        "Split": info["split"],
        "Seed": str(info["seed"]),
        "Device": info.get("device", ""),
        "Cache": info["cache"],
        "Started": _time_text(info["started"]),
        "Training time": format_duration(info["seconds"]),
        "Versions": ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items()),
    }
    return {name: value for name, value in facts.items() if value}


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flatten a nested table to dotted names and values."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _time_text(started: str) -> str:
    return datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M %z").strip()
