"""The station's page in a browser: upload, verdict, feedback, history and export."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from clearcast.core.files import find_image_files
from clearcast.station.api import Station
from clearcast.station.image_store import ImageStore
from clearcast.station.log import open_log
from clearcast.station.service import InspectionService
from tests.station.pages import Visit, chromium, visit
from tests.station.services import picture
from tests.station.stations import LOCAL, scene_in, serving, until


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    with scene_in(tmp_path, monkeypatch) as scene, scene.open() as opened:
        yield opened


@pytest.fixture
def seen(browser: Browser, client: httpx.Client) -> Iterator[Visit]:
    with visit(browser, client) as opened:
        yield opened


def answer(page: Page, words: str, operator: str = "Ana") -> None:
    page.get_by_label("Your name").fill(operator)
    page.get_by_role("button", name=words).click()


def test_upload_to_export_with_a_real_bundle(
    browser: Browser, bundle: Path, noisy_folder: Path, tmp_path: Path
) -> None:
    path = find_image_files(noisy_folder / "With-Noise")[0]
    log, shelf = open_log(tmp_path / "log.sqlite"), ImageStore(tmp_path / "pictures")
    station = Station(
        service=InspectionService(bundle, log=log, shelf=shelf), log=log, image_store=shelf, name="line 1", hosts=LOCAL
    )
    with serving(station) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        with visit(browser, client) as seen:
            page = seen.page
            seen.hand_over([(path.name, path.read_bytes())])
            expect(page.get_by_role("heading", name=path.name)).to_be_visible()
            (said,) = client.get("/v1/inspections").json()["inspections"]
            expect(page.locator(".verdict")).to_have_text(said["verdict"].upper())
            expect(page.locator(".noise")).to_contain_text("noise")
            page.get_by_role("button", name="Heat map").click()
            expect(page.get_by_alt_text("heat map")).to_have_js_property("complete", True)
            assert page.get_by_alt_text("heat map").evaluate("image => image.naturalWidth") == said["width"]

            contrary, spoken = ("Part is defective", "defective") if said["verdict"] == "ok" else ("Part is OK", "OK")
            page.get_by_label("Note (optional)").fill("=seen by hand")
            answer(page, contrary)
            expect(page.locator(".feedback-list")).to_contain_text(f"Ana: {spoken}")

            page.get_by_role("link", name="Disagreements").click()
            answer(page, contrary, "Jonas")
            expect(page.get_by_text("Worklist complete")).to_be_visible()
            assert client.get(f"/v1/inspections/{said['id']}").json()["disagreement"] == "settled"

            page.get_by_role("link", name="History").click()
            expect(page.locator(".inspection-row")).to_contain_text([f"Jonas: {spoken}settled"])
            with page.expect_download() as download:
                page.get_by_role("link", name="Export 1 row as CSV").click()
            (row,) = csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig")))
            assert (row["name"], row["verdict"], row["operator"]) == (path.name, said["verdict"], "Jonas")
    log.close()


def test_a_batch_continues_after_bad_images_and_a_busy_station(browser: Browser, client: httpx.Client) -> None:
    refusals = iter([429, 503, 429])

    def busy(route: Route) -> None:
        status = next(refusals, None)
        if status is None:
            route.continue_()
        else:
            problem = '{"detail": "the queue is full (64 images are waiting)"}'
            route.fulfill(status=status, headers={"Retry-After": "0"}, content_type="application/json", body=problem)

    files = [(f"part {level}.png", picture(level)) for level in (30, 60, 200, 230)]
    with visit(browser, client, expected=(415, 429, 503)) as seen:
        seen.page.route("**/v1/inspect", busy)
        seen.hand_over([*files[:2], ("notes.txt", b"no picture at all"), *files[2:]])
        expect(seen.page.locator(".progress")).to_contain_text("All done: 5 images.")
        badges = seen.page.locator(".thumbnail-strip .verdict-badge")
        expect(badges).to_have_text(["OK", "OK", "No verdict", "DEFECT", "DEFECT"])
        seen.page.get_by_role("button", name="DEFECT 2").click()
        expect(seen.page.locator(".thumbnail-strip li:visible")).to_have_count(2)
        seen.page.get_by_role("button", name="All 5").click()
        seen.page.locator(".thumbnail-strip button", has_text="notes.txt").click()
        expect(seen.page.locator(".verdict")).to_have_text("No verdict")
    assert client.get("/v1/counts").json()["inspections"] == 5


def test_an_unreachable_station_is_shown_and_the_image_is_sent_later(browser: Browser, client: httpx.Client) -> None:
    with visit(browser, client) as seen:
        seen.page.context.set_offline(True)
        seen.hand_over([("late.png", picture(200))])
        expect(seen.page.get_by_text("The station does not respond.").first).to_be_visible()
        expect(seen.page.locator(".state")).to_contain_text("Not responding")
        seen.page.context.set_offline(False)
        expect(seen.page.locator(".verdict")).to_have_text("DEFECT")
        expect(seen.page.locator(".state")).to_contain_text("Ready")
        seen.faults = [fault for fault in seen.faults if "ERR_INTERNET_DISCONNECTED" not in fault]
    assert client.get("/v1/counts").json()["inspections"] == 1


def test_images_can_be_pasted_chosen_and_photographed(seen: Visit, client: httpx.Client, tmp_path: Path) -> None:
    seen.hand_over([("pasted.png", picture(30))], "paste")
    expect(seen.page.get_by_role("heading", name="pasted.png")).to_be_visible()

    (tmp_path / "chosen.png").write_bytes(picture(200))
    with seen.page.expect_file_chooser() as chooser:
        seen.page.get_by_role("button", name="Choose images").click()
    chooser.value.set_files(tmp_path / "chosen.png")
    expect(seen.page.get_by_role("heading", name="chosen.png")).to_be_visible()

    seen.page.get_by_role("button", name="Camera").click()
    seen.page.get_by_role("button", name="Take photo").click()
    expect(seen.page.get_by_role("heading", name="photo-")).to_be_visible()
    newest = client.get("/v1/inspections").json()["inspections"][0]
    assert newest["name"].startswith("photo-")
    assert newest["width"] > 0


def test_names_are_text_and_never_markup(seen: Visit) -> None:
    name = "<img src=nowhere onerror=document.title='caught'>.png"
    seen.hand_over([(name, picture(200))])
    expect(seen.page.get_by_role("heading", name=name)).to_be_visible()
    answer(seen.page, "Part is OK", "<b>Ana</b>")
    expect(seen.page.locator(".feedback-list")).to_contain_text("<b>Ana</b>: OK")
    for view in ("history", "inspection/1", "disagreements", "review?all=yes"):
        seen.go(view)
        expect(seen.page.locator("main").get_by_text(name).first).to_be_visible()
    assert seen.page.locator("img[src=nowhere]").count() == 0
    assert "caught" not in seen.page.title()


def test_status_updates_keep_clicks_and_focus(seen: Visit, client: httpx.Client) -> None:
    refresh = "async () => (await import('/static/js/station-status.js')).station.refresh()"
    seen.hand_over([("part.png", picture(200))])
    expect(seen.page.locator(".verdict")).to_have_text("DEFECT")
    link = seen.page.get_by_role("link", name="Disagreements")
    link.hover()
    seen.page.mouse.down()
    client.post("/v1/inspections/1/feedback", json={"says": "ok", "operator": "Ana"}).raise_for_status()
    seen.page.evaluate(refresh)
    expect(seen.page.locator(".tabs .badge:visible")).to_have_text("1 open")
    seen.page.mouse.up()
    expect(seen.page.get_by_role("heading", name="Open disagreements")).to_be_visible()

    about = seen.page.get_by_role("button", name="Ready")
    for control in (link, about):
        control.focus()
        seen.page.evaluate(refresh)
        expect(control).to_be_focused()


def test_slider_and_zoom_move_both_images(seen: Visit) -> None:
    seen.hand_over([("part.png", picture(200))])
    stage, slider = seen.page.get_by_role("group", name="Image"), seen.page.get_by_label("Compare original")
    slider.press("Home")
    expect(stage).to_have_attribute("style", "--split: 0%; --aspect: 1.25;")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "1% original, 99% denoised")

    moves = "stage => [...stage.querySelectorAll('img')].map(image => image.style.transform)"
    stage.focus()
    stage.press("+")
    stage.press("ArrowRight")
    noisy, restored = stage.evaluate(moves)
    assert noisy == restored
    assert "scale(1.5)" in noisy
    stage.hover()
    seen.page.mouse.wheel(0, -500)
    expect(seen.page.get_by_label("Magnification")).not_to_have_text("1.5×")
    noisy, restored = stage.evaluate(moves)
    assert noisy == restored
    seen.page.get_by_role("button", name="Fit image").click()
    expect(seen.page.get_by_label("Magnification")).to_have_text("1×")
