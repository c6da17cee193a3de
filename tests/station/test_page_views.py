"""The page's views: history, review, roles and themes; and accessibility."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.station.logged import ENTRY
from tests.station.pages import Visit, chromium, visit
from tests.station.stations import TOKENS, Scene, scene_in, send

VIEWS = ("", "history", "inspection/1", "disagreements", "review", "not-found")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def client(scene: Scene) -> Iterator[httpx.Client]:
    with scene.open() as opened:
        yield opened


@pytest.fixture
def seen(browser: Browser, client: httpx.Client) -> Iterator[Visit]:
    with visit(browser, client) as opened:
        yield opened


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [(1366, 820), (360, 740)])
def test_axe_finds_no_violation(browser: Browser, client: httpx.Client, size: tuple[int, int], colours: str) -> None:
    dark, _ = send(client, 40, 200)
    client.post("/v1/inspections/{id}/feedback".format(**dark), json={"says": "defect", "note": "a crack"})
    with visit(browser, client, size=size, colours=colours) as seen:
        seen.look_for_faults()
        seen.page.get_by_role("button", name="Ready").click()
        expect(seen.page.get_by_role("dialog")).to_contain_text("100 held-out images of 50 parts")
        seen.look_for_faults()
        seen.page.get_by_role("button", name="Close").click()
        seen.page.get_by_role("button", name="Camera").click()
        expect(seen.page.get_by_role("button", name="Take photo")).to_be_visible()
        seen.look_for_faults()
        seen.page.get_by_role("button", name="Close").click()
        seen.hand_over([("a.png", b"no picture"), ("b.png", b"neither")])
        expect(seen.page.locator(".progress")).to_contain_text("All done")
        for view in VIEWS:
            seen.go(view)
            seen.look_for_faults()
        seen.faults = [fault for fault in seen.faults if "status of 415" not in fault]


def test_axe_finds_a_violation_that_is_there(seen: Visit) -> None:
    seen.page.evaluate("document.querySelector('.brand img').removeAttribute('alt')")
    with pytest.raises(AssertionError, match="image-alt"):
        seen.look_for_faults()


def test_filters_apply_to_the_address_and_the_export(seen: Visit, client: httpx.Client) -> None:
    send(client, 10, 20, 200)
    seen.go("history")
    seen.page.get_by_role("checkbox", name="DEFECT").check()
    expect(seen.page.locator(".inspection-row")).to_have_count(1)
    seen.page.get_by_label("Search").fill("PART 2")
    seen.page.get_by_label("Time", exact=True).select_option("Last hour")
    expect(seen.page).to_have_url(f"{client.base_url}/#/history?q=PART+2&period=1h&verdict=defect")
    seen.loaded()

    link = urlsplit(seen.page.get_by_role("link", name="Export").get_attribute("href") or "")
    asked = parse_qs(link.query)
    assert (link.path, asked["verdict"], asked["q"]) == ("v1/inspections.csv", ["defect"], ["PART 2"])
    assert len(client.get(link.geturl()).text.strip().splitlines()) == 2
    seen.page.reload()
    expect(seen.page.get_by_label("Search")).to_have_value("PART 2")
    expect(seen.page.locator(".inspection-row")).to_have_count(1)
    seen.page.get_by_role("button", name="Clear filters").click()
    expect(seen.page.locator(".inspection-row")).to_have_count(3)


def test_a_long_history_is_loaded_page_by_page(seen: Visit, scene: Scene) -> None:
    scene.log.write([replace(ENTRY, at=ENTRY.at + 60_000 * k, name=f"old {k}.png") for k in range(120)])
    seen.go("history")
    rows = seen.page.locator(".inspection-row")
    expect(rows).to_have_count(50)
    seen.page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    seen.page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(120)
    expect(seen.page.get_by_text("120 of 120 shown")).to_be_visible()
    expect(seen.page.get_by_role("button", name="Show more")).to_be_hidden()
    names = rows.locator("strong").all_text_contents()
    assert names == [f"old {k}.png" for k in reversed(range(120))]


def test_review_shows_the_least_certain_first_and_has_shortcuts(seen: Visit, client: httpx.Client) -> None:
    send(client, 250, 130, 20, 110)
    seen.page.evaluate("localStorage.setItem('clearcast.operator', 'Mei')")
    asked = client.get("/v1/inspections", params={"order": "least_certain"}).json()["inspections"]
    seen.go("review")
    panel = seen.page.get_by_role("article")
    for inspection, key, says in zip(asked, ("o", "d", "b", "o"), ("ok", "defect", "bad_picture", "ok"), strict=True):
        expect(panel).to_contain_text(inspection["name"])
        panel.press(key)
        expect(seen.page.locator(".thumbnail .tag")).to_have_count(asked.index(inspection) + 1)
        (given,) = client.get(f"/v1/inspections/{inspection['id']}").json()["feedback"]
        assert (given["says"], given["operator"]) == (says, "Mei")
    expect(seen.page.get_by_text("Worklist complete")).to_be_visible()
    expect(seen.page.get_by_text("0 of 4 left")).to_be_visible()


def test_images_are_requested_again_while_the_station_is_busy(browser: Browser, client: httpx.Client) -> None:
    send(client, 40)
    refused = dict.fromkeys(("noisy", "thumbnail"), 2)  # an image, and the question why it failed
    with visit(browser, client, expected=(429, 410)) as seen:

        def answer(route: Route) -> None:
            kind = urlsplit(route.request.url).path.rpartition("/")[2]
            if kind == "restored":
                route.fulfill(status=410)
            elif refused.get(kind):
                refused[kind] -= 1
                route.fulfill(status=429)
            else:
                route.continue_()

        seen.page.route("**/v1/pictures/**", answer)
        seen.go("history")
        expect(seen.page.locator(".inspection-row img")).to_have_js_property("naturalWidth", 20)
        seen.go("inspection/1")
        expect(seen.page.locator(".under img")).to_have_js_property("naturalWidth", 20)
        expect(seen.page.locator(".over .unavailable")).to_be_visible()
        seen.page.get_by_role("button", name="Heat map").click()
        expect(seen.page.locator(".over img")).to_be_visible()
        expect(seen.page.locator(".over .unavailable")).to_be_hidden()
        assert refused == {"noisy": 0, "thumbnail": 0}


def test_readers_sign_in_and_get_no_controls(browser: Browser, scene: Scene) -> None:
    scene.tokens = TOKENS
    with scene.open() as client:
        operator = {"Authorization": f"Bearer {TOKENS.operator}"}
        client.headers.update(operator)
        send(client, 200)
        with visit(browser, client, expected=(401,)) as seen:
            token = seen.page.get_by_label("Token")
            token.fill("not a token of this station")
            seen.page.get_by_role("button", name="Sign in").click()
            expect(seen.page.get_by_text("Token not recognised")).to_be_visible()
            seen.look_for_faults()
            token.fill(TOKENS.reader)
            seen.page.get_by_role("button", name="Sign in").click()
            expect(seen.page.get_by_text("Read only")).to_be_visible()
            expect(seen.page.get_by_role("button", name="Choose images")).to_have_count(0)
            seen.go("inspection/1")
            expect(seen.page.locator(".verdict")).to_have_text("DEFECT")
            expect(seen.page.get_by_role("button", name="Part is OK")).to_have_count(0)
            seen.page.get_by_role("button", name="Sign out").click()
            expect(seen.page.get_by_label("Token")).to_be_visible()


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Browser, client: httpx.Client) -> None:
    with visit(browser, client, colours="dark") as seen:
        root = seen.page.locator("html")
        expect(root).to_have_attribute("data-theme", "dark")
        seen.page.get_by_role("button", name="Switch to light theme").click()
        expect(root).to_have_attribute("data-theme", "light")
        seen.page.reload()
        expect(root).to_have_attribute("data-theme", "light")
