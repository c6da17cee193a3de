"""The page's views: history, review, roles and themes; and accessibility."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.station.logged import ENTRY
from tests.station.pages import PageVisit, open_page
from tests.station.stations import TOKENS, StationSetup, send_images

VIEWS = ("", "history", "inspection/1", "disagreements", "review", "not-found")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [(1366, 820), (360, 740)])
def test_axe_finds_no_violation(browser: Browser, client: httpx.Client, size: tuple[int, int], colours: str) -> None:
    dark, _ = send_images(client, 40, 200)
    client.post("/v1/inspections/{id}/feedback".format(**dark), json={"says": "defect", "note": "a crack"})
    with open_page(browser, client, size=size, colours=colours) as visit:
        visit.check_accessibility()
        visit.page.get_by_role("button", name="Ready").click()
        expect(visit.page.get_by_role("dialog")).to_contain_text("100 held-out images of 50 parts")
        visit.check_accessibility()
        visit.page.get_by_role("button", name="Close").click()
        visit.page.get_by_role("button", name="Camera").click()
        expect(visit.page.get_by_role("button", name="Take photo")).to_be_visible()
        visit.check_accessibility()
        visit.page.get_by_role("button", name="Close").click()
        visit.add_files([("a.png", b"no image"), ("b.png", b"neither")])
        expect(visit.page.locator(".progress")).to_contain_text("All done")
        for view in VIEWS:
            visit.open_view(view)
            visit.check_accessibility()
        visit.errors = [error for error in visit.errors if "status of 415" not in error]


def test_axe_finds_a_violation_that_is_there(visit: PageVisit) -> None:
    visit.page.evaluate("document.querySelector('.brand img').removeAttribute('alt')")
    with pytest.raises(AssertionError, match="image-alt"):
        visit.check_accessibility()


def test_filters_apply_to_the_address_and_the_export(visit: PageVisit, client: httpx.Client) -> None:
    send_images(client, 10, 20, 200)
    visit.open_view("history")
    visit.page.get_by_role("checkbox", name="DEFECT").check()
    expect(visit.page.locator(".inspection-row")).to_have_count(1)
    visit.page.get_by_label("Search").fill("PART 2")
    visit.page.get_by_label("Time", exact=True).select_option("Last hour")
    expect(visit.page).to_have_url(f"{client.base_url}/#/history?q=PART+2&period=1h&verdict=defect")
    visit.wait_until_loaded()

    link = urlsplit(visit.page.get_by_role("link", name="Export").get_attribute("href") or "")
    query = parse_qs(link.query)
    assert (link.path, query["verdict"], query["q"]) == ("v1/inspections.csv", ["defect"], ["PART 2"])
    assert len(client.get(link.geturl()).text.strip().splitlines()) == 2
    visit.page.reload()
    expect(visit.page.get_by_label("Search")).to_have_value("PART 2")
    expect(visit.page.locator(".inspection-row")).to_have_count(1)
    visit.page.get_by_role("button", name="Clear filters").click()
    expect(visit.page.locator(".inspection-row")).to_have_count(3)


def test_a_long_history_is_loaded_page_by_page(visit: PageVisit, station_setup: StationSetup) -> None:
    station_setup.log.write([replace(ENTRY, at=ENTRY.at + 60_000 * k, name=f"old {k}.png") for k in range(120)])
    visit.open_view("history")
    rows = visit.page.locator(".inspection-row")
    expect(rows).to_have_count(50)
    visit.page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    visit.page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(120)
    expect(visit.page.get_by_text("120 of 120 shown")).to_be_visible()
    expect(visit.page.get_by_role("button", name="Show more")).to_be_hidden()
    names = rows.locator("strong").all_text_contents()
    assert names == [f"old {k}.png" for k in reversed(range(120))]


def test_review_shows_the_least_certain_first_and_has_shortcuts(visit: PageVisit, client: httpx.Client) -> None:
    send_images(client, 250, 130, 20, 110)
    visit.page.evaluate("localStorage.setItem('clearcast.operator', 'Mei')")
    least_certain = client.get("/v1/inspections", params={"order": "least_certain"}).json()["inspections"]
    visit.open_view("review")
    panel = visit.page.get_by_role("article")
    for inspection, key, says in zip(
        least_certain, ("o", "d", "b", "o"), ("ok", "defect", "bad_picture", "ok"), strict=True
    ):
        expect(panel).to_contain_text(inspection["name"])
        panel.press(key)
        expect(visit.page.locator(".thumbnail .tag")).to_have_count(least_certain.index(inspection) + 1)
        (given,) = client.get(f"/v1/inspections/{inspection['id']}").json()["feedback"]
        assert (given["says"], given["operator"]) == (says, "Mei")
    expect(visit.page.get_by_text("Worklist complete")).to_be_visible()
    expect(visit.page.get_by_text("0 of 4 left")).to_be_visible()


def test_images_are_requested_again_while_the_station_is_busy(browser: Browser, client: httpx.Client) -> None:
    send_images(client, 40)
    refused = dict.fromkeys(("noisy", "thumbnail"), 2)  # the image, and the request for the reason
    with open_page(browser, client, expected=(429, 410)) as visit:

        def respond(route: Route) -> None:
            kind = urlsplit(route.request.url).path.rpartition("/")[2]
            if kind == "restored":
                route.fulfill(status=410)
            elif refused.get(kind):
                refused[kind] -= 1
                route.fulfill(status=429)
            else:
                route.continue_()

        visit.page.route("**/v1/pictures/**", respond)
        visit.open_view("history")
        expect(visit.page.locator(".inspection-row img")).to_have_js_property("naturalWidth", 20)
        visit.open_view("inspection/1")
        expect(visit.page.locator(".under img")).to_have_js_property("naturalWidth", 20)
        expect(visit.page.locator(".over .unavailable")).to_be_visible()
        visit.page.get_by_role("button", name="Heat map").click()
        expect(visit.page.locator(".over img")).to_be_visible()
        expect(visit.page.locator(".over .unavailable")).to_be_hidden()
        assert refused == {"noisy": 0, "thumbnail": 0}


def test_readers_sign_in_and_get_no_controls(browser: Browser, station_setup: StationSetup) -> None:
    station_setup.tokens = TOKENS
    with station_setup.start() as client:
        operator = {"Authorization": f"Bearer {TOKENS.operator}"}
        client.headers.update(operator)
        send_images(client, 200)
        with open_page(browser, client, expected=(401,)) as visit:
            token = visit.page.get_by_label("Token")
            token.fill("not a token of this station")
            visit.page.get_by_role("button", name="Sign in").click()
            expect(visit.page.get_by_text("Token not recognised")).to_be_visible()
            visit.check_accessibility()
            token.fill(TOKENS.reader)
            visit.page.get_by_role("button", name="Sign in").click()
            expect(visit.page.get_by_text("Read only")).to_be_visible()
            expect(visit.page.get_by_role("button", name="Choose images")).to_have_count(0)
            visit.open_view("inspection/1")
            expect(visit.page.locator(".verdict")).to_have_text("DEFECT")
            expect(visit.page.get_by_role("button", name="Part is OK")).to_have_count(0)
            visit.page.get_by_role("button", name="Sign out").click()
            expect(visit.page.get_by_label("Token")).to_be_visible()


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Browser, client: httpx.Client) -> None:
    with open_page(browser, client, colours="dark") as visit:
        root = visit.page.locator("html")
        expect(root).to_have_attribute("data-theme", "dark")
        visit.page.get_by_role("button", name="Switch to light theme").click()
        expect(root).to_have_attribute("data-theme", "light")
        visit.page.reload()
        expect(root).to_have_attribute("data-theme", "light")
