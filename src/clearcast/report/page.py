"""The report page: one HTML file that needs neither a network nor a server, and the figures beside it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.evaluation.results import RunInfo
from clearcast.report import gallery, mistakes, summary
from clearcast.report.numbers import duration
from clearcast.report.sections import FIGURES, Chart, Section, overview, sections
from clearcast.report.sources import Run, display_name, read_run
from clearcast.report.tables import counts_table
from clearcast.report.templating import render


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
        first, stages = overview(source), sections(source)
        unfinished.write_text(_render(source, first, stages), encoding="utf-8")
        unfinished.replace(page)
        _remove_stale(run / "figures", [first, *(chart for stage in stages for chart in stage.charts)])
    except OSError as error:
        raise OutputError(f"{page}: cannot be written ({error}); free some space or mend the rights") from None
    return page


def _remove_stale(folder: Path, charts: Iterable[Chart | None]) -> None:
    """Remove figures of an earlier page that this one does not have; files with other names are not ours."""
    for name in FIGURES - {chart.name for chart in charts if chart}:
        (folder / f"{name}.png").unlink(missing_ok=True)


def _render(run: Run, first: Chart | None, stages: list[Section]) -> str:
    info = run.metrics["run"]
    has_pictures = "denoising" in run.metrics["stages"]
    return render(
        "page.html.j2",
        subject=Path(info["sheet"]).name,
        recipe=str(info["recipe"].get("name", "")),
        started=_moment(info["started"]),
        sentences=summary.sentences(run),
        tiles=summary.tiles(run.metrics),
        doubts=summary.doubts(run.metrics),
        facts=_facts(info),
        settings=list(_flat(info["recipe"])),
        left_out=info["left_out"],
        counts=counts_table(info),
        overview=first,
        sections=stages,
        samples=gallery.samples(run) if has_pictures else [],
        noises={noise: display_name(noise) for noise in run.predictions["noise_type"].unique()},
        sizes={"spread": gallery.SPREAD, "worst": gallery.WORST, "best": gallery.BEST},
        images=len(run.predictions),
        mistakes=mistakes.mistakes(run),
    )


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
