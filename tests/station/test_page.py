"""The station's page in a browser: upload, verdict, feedback, history and export."""

import csv
import io
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, Route, expect

from clearcast.core.files import find_image_files
from clearcast.station.api import Station
from clearcast.station.image_store import ImageStore
from clearcast.station.log import open_log
from clearcast.station.service import InspectionService
from tests.station.pages import PageVisit, open_page
from tests.station.services import grey_png
from tests.station.stations import LOCAL, serving, wait_until


def give_feedback(page: Page, button: str, operator: str = "Ana") -> None:
    page.get_by_label("Your name").fill(operator)
    page.get_by_role("button", name=button).click()


def test_upload_to_export_with_a_real_bundle(
    browser: Browser, bundle: Path, noisy_folder: Path, tmp_path: Path
) -> None:
    path = find_image_files(noisy_folder / "With-Noise")[0]
    log, image_store = open_log(tmp_path / "log.sqlite"), ImageStore(tmp_path / "pictures")
    station = Station(
        service=InspectionService(bundle, log=log, image_store=image_store),
        log=log,
        image_store=image_store,
        name="line 1",
        hosts=LOCAL,
    )
    with serving(station) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        with open_page(browser, client) as visit:
            page = visit.page
            visit.add_files([(path.name, path.read_bytes())])
            expect(page.get_by_role("heading", name=path.name)).to_be_visible()
            (result,) = client.get("/v1/inspections").json()["inspections"]
            expect(page.locator(".verdict")).to_have_text(result["verdict"].upper())
            expect(page.locator(".noise")).to_contain_text("noise")
            page.get_by_role("button", name="Heat map").click()
            expect(page.get_by_alt_text("heat map")).to_have_js_property("complete", True)
            assert page.get_by_alt_text("heat map").evaluate("image => image.naturalWidth") == result["width"]

            opposite, label = ("Part is defective", "defective") if result["verdict"] == "ok" else ("Part is OK", "OK")
            page.get_by_label("Note (optional)").fill("=seen by hand")
            give_feedback(page, opposite)
            expect(page.locator(".feedback-list")).to_contain_text(f"Ana: {label}")

            page.get_by_role("link", name="Disagreements").click()
            give_feedback(page, opposite, "Jonas")
            expect(page.get_by_text("Worklist complete")).to_be_visible()
            assert client.get(f"/v1/inspections/{result['id']}").json()["disagreement"] == "settled"

            page.get_by_role("link", name="History").click()
            expect(page.locator(".inspection-row")).to_contain_text([f"Jonas: {label}settled"])
            with page.expect_download() as download:
                page.get_by_role("link", name="Export 1 row as CSV").click()
            (row,) = csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig")))
            assert (row["name"], row["verdict"], row["operator"]) == (path.name, result["verdict"], "Jonas")
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

    files = [(f"part {level}.png", grey_png(level)) for level in (30, 60, 200, 230)]
    with open_page(browser, client, expected=(415, 429, 503)) as visit:
        visit.page.route("**/v1/inspect", busy)
        visit.add_files([*files[:2], ("notes.txt", b"no image at all"), *files[2:]])
        expect(visit.page.locator(".progress")).to_contain_text("All done: 5 images.")
        badges = visit.page.locator(".thumbnail-strip .verdict-badge")
        expect(badges).to_have_text(["OK", "OK", "No verdict", "DEFECT", "DEFECT"])
        visit.page.get_by_role("button", name="DEFECT 2").click()
        expect(visit.page.locator(".thumbnail-strip li:visible")).to_have_count(2)
        visit.page.get_by_role("button", name="All 5").click()
        visit.page.locator(".thumbnail-strip button", has_text="notes.txt").click()
        expect(visit.page.locator(".verdict")).to_have_text("No verdict")
    assert client.get("/v1/counts").json()["inspections"] == 5


def test_an_unreachable_station_is_shown_and_the_image_is_sent_later(browser: Browser, client: httpx.Client) -> None:
    with open_page(browser, client) as visit:
        visit.page.context.set_offline(True)
        visit.add_files([("late.png", grey_png(200))])
        expect(visit.page.get_by_text("The station does not respond.").first).to_be_visible()
        expect(visit.page.locator(".state")).to_contain_text("Not responding")
        visit.page.context.set_offline(False)
        expect(visit.page.locator(".verdict")).to_have_text("DEFECT")
        expect(visit.page.locator(".state")).to_contain_text("Ready")
        visit.errors = [error for error in visit.errors if "ERR_INTERNET_DISCONNECTED" not in error]
    assert client.get("/v1/counts").json()["inspections"] == 1


def test_images_can_be_pasted_chosen_and_photographed(visit: PageVisit, client: httpx.Client, tmp_path: Path) -> None:
    visit.add_files([("pasted.png", grey_png(30))], "paste")
    expect(visit.page.get_by_role("heading", name="pasted.png")).to_be_visible()

    (tmp_path / "chosen.png").write_bytes(grey_png(200))
    with visit.page.expect_file_chooser() as chooser:
        visit.page.get_by_role("button", name="Choose images").click()
    chooser.value.set_files(tmp_path / "chosen.png")
    expect(visit.page.get_by_role("heading", name="chosen.png")).to_be_visible()

    visit.page.get_by_role("button", name="Camera").click()
    visit.page.get_by_role("button", name="Take photo").click()
    expect(visit.page.get_by_role("heading", name="photo-")).to_be_visible()
    newest = client.get("/v1/inspections").json()["inspections"][0]
    assert newest["name"].startswith("photo-")
    assert newest["width"] > 0


def test_names_are_text_and_never_markup(visit: PageVisit) -> None:
    name = "<img src=nowhere onerror=document.title='caught'>.png"
    visit.add_files([(name, grey_png(200))])
    expect(visit.page.get_by_role("heading", name=name)).to_be_visible()
    give_feedback(visit.page, "Part is OK", "<b>Ana</b>")
    expect(visit.page.locator(".feedback-list")).to_contain_text("<b>Ana</b>: OK")
    for view in ("history", "inspection/1", "disagreements", "review?all=yes"):
        visit.open_view(view)
        expect(visit.page.locator("main").get_by_text(name).first).to_be_visible()
    assert visit.page.locator("img[src=nowhere]").count() == 0
    assert "caught" not in visit.page.title()


def test_status_updates_keep_clicks_and_focus(visit: PageVisit, client: httpx.Client) -> None:
    refresh = "async () => (await import('/static/js/station-status.js')).station.refresh()"
    visit.add_files([("part.png", grey_png(200))])
    expect(visit.page.locator(".verdict")).to_have_text("DEFECT")
    link = visit.page.get_by_role("link", name="Disagreements")
    link.hover()
    visit.page.mouse.down()
    client.post("/v1/inspections/1/feedback", json={"says": "ok", "operator": "Ana"}).raise_for_status()
    visit.page.evaluate(refresh)
    expect(visit.page.locator(".tabs .badge:visible")).to_have_text("1 open")
    visit.page.mouse.up()
    expect(visit.page.get_by_role("heading", name="Open disagreements")).to_be_visible()

    about = visit.page.get_by_role("button", name="Ready")
    for control in (link, about):
        control.focus()
        visit.page.evaluate(refresh)
        expect(control).to_be_focused()


def test_slider_and_zoom_move_both_images(visit: PageVisit) -> None:
    visit.add_files([("part.png", grey_png(200))])
    stage, slider = visit.page.get_by_role("group", name="Image"), visit.page.get_by_label("Compare original")
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
    visit.page.mouse.wheel(0, -500)
    expect(visit.page.get_by_label("Magnification")).not_to_have_text("1.5×")
    noisy, restored = stage.evaluate(moves)
    assert noisy == restored
    visit.page.get_by_role("button", name="Fit image").click()
    expect(visit.page.get_by_label("Magnification")).to_have_text("1×")
