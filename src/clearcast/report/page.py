"""The report page: one HTML file that needs neither a network nor a server, and the figures beside it."""

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
        OutputError: the folder is no run folder, or cannot be written.
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
        raise OutputError(f"{page}: cannot be written ({error}); free some space or mend the rights") from None
    return page


@dataclass(frozen=True)
class _Content:
    """What has figures: the answer on the first screen, the overview, and the sections below."""

    helped: summary.Help | None
    overview: Chart | None
    topics: list[Topic]
    sections: list[Section]

    def charts(self) -> Iterator[Chart]:
        """All figures of the page."""
        yield from (one for one in (self.helped and self.helped.chart, self.overview) if one)
        for topic in self.topics:
            yield from (one for panel in (*topic.panels, *topic.folded) for one in panel.charts)
        yield from (one for section in self.sections for one in section.charts)


def _content(run: Run) -> _Content:
    return _Content(summary.helped(run), overview(run), topics(run), sections(run))


def _render(run: Run, content: _Content) -> str:
    info = run.metrics["run"]
    has_pictures = "denoising" in run.metrics["stages"]
    return render(
        "page.html.j2",
        subject=Path(info["sheet"]).name,
        recipe=str(info["recipe"].get("name", "")),
        started=_moment(info["started"]),
        folds=_folds(run),
        headline=summary.headline(run),
        verdicts=summary.verdicts(run),
        restored=summary.restored(run),
        helped=content.helped,
        doubts=doubts(run),
        remarks=remarks(run),
        facts=_facts(info),
        settings=list(_flat(info["recipe"])),
        left_out=info["left_out"],
        counts=counts_table(info),
        has_evidence=run.evidence is not None,
        overview=content.overview,
        topics=content.topics,
        sections=content.sections,
        samples=gallery.samples(run) if has_pictures else [],
        noises={noise: display_name(noise) for noise in run.predictions["noise_type"].unique()},
        sizes={"spread": gallery.SPREAD, "worst": gallery.WORST, "best": gallery.BEST},
        images=len(run.predictions),
        mistakes=mistakes.mistakes(run),
    )


def _folds(run: Run) -> list[tuple[str, str]]:
    """Each fold's name and the address of its page; the address is empty where there is no page yet."""
    names = [f"fold-{fold}" for fold in range(1, run.metrics["run"].get("folds", 1) + 1)]
    if len(names) == 1:
        return []
    return [(name, f"{name}/report.html" if (run.folder / name / "report.html").is_file() else "") for name in names]


def _facts(info: RunInfo) -> dict[str, str]:
    facts = {
        "Sheet": info["sheet"],
        "Sheet's SHA-256": info["sheet_sha256"],
        "Pictures' root": info["root"],
        "Split": info["split"],
        "Seed": str(info["seed"]),
        "Device": info.get("device", ""),
        "Cache": info["cache"],
        "Started": _moment(info["started"]),
        "Time to fit the networks": duration(info["seconds"]),
        "Versions": ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items()),
    }
    return {name: value for name, value in facts.items() if value}


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested table as dotted names with their values, as they would be written in the recipe's file."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _moment(started: str) -> str:
    return datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M %z").strip()
