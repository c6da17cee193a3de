"""Report page: one self-contained HTML file, and its figures as PNG."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.evaluation.results import RunInfo
from clearcast.report import gallery, mistakes, summary
from clearcast.report.doubts import doubts, remarks
from clearcast.report.figures import Chart, remove_stale
from clearcast.report.numbers import duration
from clearcast.report.sections import Section, overview, sections
from clearcast.report.sources import Run, display_name, read_run
from clearcast.report.tables import counts_table
from clearcast.report.templating import render
from clearcast.report.topic import Topic
from clearcast.report.topics import topics


def write_report(run: Path) -> Path:
    """Write ``report.html`` and ``figures/`` into a run folder and return the page's path.

    Raises:
        OutputError: the folder is not a run folder, or cannot be written.
    """
    source = read_run(run)
    page = run / "report.html"
    unfinished = page.with_suffix(".part")
    try:
        (run / "figures").mkdir(exist_ok=True)
        content = _content(source)
        unfinished.write_text(_render(source, content), encoding="utf-8")
        unfinished.replace(page)
        remove_stale(run / "figures", content.charts())
    except OSError as error:
        raise OutputError(f"{page}: cannot be written ({error}); free some space or correct the permissions") from None
    return page


@dataclass(frozen=True)
class _Content:
    """The parts of the page with charts: effect of denoising, overview, analyses and stages."""

    helped: summary.Help | None
    overview: Chart | None
    topics: list[Topic]
    sections: list[Section]

    def charts(self) -> Iterator[Chart]:
        """All charts of the page."""
        yield from (one for one in (self.helped and self.helped.chart, self.overview) if one)
        for topic in self.topics:
            yield from (one for panel in (*topic.panels, *topic.folded) for one in panel.charts)
        yield from (one for section in self.sections for one in section.charts)


def _content(run: Run) -> _Content:
    return _Content(summary.helped(run), overview(run), topics(run), sections(run))


def _render(run: Run, content: _Content) -> str:
    info = run.metrics["run"]
    has_gallery = "denoising" in run.metrics["stages"]
    return render(
        "page.html.j2",
        subject=Path(info["sheet"]).name,
        recipe=str(info["recipe"].get("name", "")),
        started=_time_text(info["started"]),
        folds=_folds(run),
        headline=summary.headline(run),
        verdicts=summary.verdicts(run),
        quality=summary.restored(run),
        helped=content.helped,
        caveats=doubts(run),
        remarks=remarks(run),
        facts=_facts(info),
        settings=list(_flatten(info["recipe"])),
        left_out=info["left_out"],
        counts=counts_table(info),
        has_evidence=run.evidence is not None,
        overview=content.overview,
        topics=content.topics,
        sections=content.sections,
        gallery=gallery.samples(run) if has_gallery else [],
        noises={noise: display_name(noise) for noise in run.predictions["noise_type"].unique()},
        sizes={"spread": gallery.SPREAD, "worst": gallery.WORST, "best": gallery.BEST},
        images=len(run.predictions),
        mistakes=mistakes.mistakes(run),
    )


def _folds(run: Run) -> list[tuple[str, str]]:
    """Name of each fold and the address of its page, empty if it has no page yet."""
    names = [f"fold-{fold}" for fold in range(1, run.metrics["run"].get("folds", 1) + 1)]
    if len(names) == 1:
        return []
    return [(name, f"{name}/report.html" if (run.folder / name / "report.html").is_file() else "") for name in names]


def _facts(info: RunInfo) -> dict[str, str]:
    facts = {
        "Sheet": info["sheet"],
        "Sheet's SHA-256": info["sheet_sha256"],
        "Root of the images": info["root"],
        "Split": info["split"],
        "Seed": str(info["seed"]),
        "Device": info.get("device", ""),
        "Cache": info["cache"],
        "Started": _time_text(info["started"]),
        "Training time": duration(info["seconds"]),
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
