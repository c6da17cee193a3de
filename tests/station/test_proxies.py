"""A station behind a reverse proxy with a path prefix."""

import re
from urllib.parse import urljoin

import httpx
import pytest
from playwright.sync_api import expect

from clearcast.station.api.page_routes import PAGE_FOLDER
from tests.station.pages import open_page, start_chromium
from tests.station.proxies import PROXY_PATH, reverse_proxy
from tests.station.services import grey_png
from tests.station.stations import TOKENS, StationSetup, form_files, send_images

PREFIX = {"X-Forwarded-Prefix": PROXY_PATH}


def urls_in(client: httpx.Client, page: str) -> list[str]:
    found = re.findall(r'(?:href|src)="([^"#]+)"', client.get(page).raise_for_status().text)
    assert found
    return [urljoin(str(client.base_url.join(page)), address) for address in found if not address.startswith("data:")]


def test_all_resources_of_the_pages_exist(station_setup: StationSetup) -> None:
    with station_setup.start() as station, reverse_proxy(station) as client:
        for page in ("", "docs"):
            for address in urls_in(client, page):
                assert httpx.get(address, trust_env=False).status_code == 200, address
        scripts = PAGE_FOLDER / "js"
        for script in scripts.glob("*.js"):
            assert not re.search(r"""["'`(]/(v1|static|docs)\\b""", script.read_text("utf-8")), script


def test_the_openapi_document_leads_back_through_the_proxy(station_setup: StationSetup) -> None:
    with station_setup.start() as station, reverse_proxy(station) as client:
        (server,) = client.get("openapi.json").json()["servers"]
        base = urljoin(str(client.base_url.join("openapi.json")), server["url"])
        assert httpx.get(urljoin(base, "v1/counts"), trust_env=False).json()["inspections"] == 0


def test_image_urls_include_the_prefix_of_the_proxy(station_setup: StationSetup) -> None:
    with station_setup.start() as station, reverse_proxy(station, PREFIX) as client:
        (sent,) = send_images(station, 200)
        listed = client.get("v1/inspections").json()["inspections"][0]
        one = client.get("v1/inspections/1").json()
        commented = client.post("v1/inspections/1/feedback", json={"says": "ok"}).json()
        for result in (listed, one, commented):
            assert result["pictures"] == {kind: PROXY_PATH + address for kind, address in sent["pictures"].items()}
        response = httpx.get(urljoin(str(client.base_url), listed["pictures"]["noisy"]), trust_env=False)
        assert response.content == grey_png(200)


@pytest.mark.parametrize(
    "prefix",
    ["//evil.example", "/a//b", "https://evil.example", "evil", "/a b", "/a?b", "/a\\b", "/<b>", "/" * 50, "/a" * 50],
)
def test_a_prefix_that_is_not_a_plain_path_is_ignored(station_setup: StationSetup, prefix: str) -> None:
    with station_setup.start() as station:
        send_images(station, 200)
        result = station.get("/v1/inspections/1", headers={"X-Forwarded-Prefix": prefix}).json()
    assert result["pictures"]["noisy"] == f"/v1/pictures/{result['sha256']}/noisy"


def test_there_are_no_redirects(station_setup: StationSetup) -> None:
    """A redirect would lead to a URL that only the proxy can reach."""
    with station_setup.start() as station:
        for path in ("/docs/", "/static", "/v1/inspections/", "/docs/page", "/static/js"):
            assert station.get(path).status_code == 404, path


def send_as_operator(client: httpx.Client, *brightnesses: int) -> None:
    files = form_files(*((f"part {level}.png", grey_png(level)) for level in brightnesses))
    authorization = {"Authorization": f"Bearer {TOKENS.operator}"}
    client.post("v1/inspect", files=files, headers=authorization).raise_for_status()


@pytest.mark.parametrize(
    "headers",
    [{}, PREFIX, {"X-Forwarded-Prefix": "/v1/parts"}, {"Host": "line.example", "X-Forwarded-Host": "line.example"}],
)
def test_the_page_works_under_a_path(station_setup: StationSetup, headers: dict[str, str]) -> None:
    """Sign-in, inspection, images, feedback; also if the proxy forwards the original Host."""
    station_setup.tokens, station_setup.hosts = TOKENS, None
    with start_chromium() as browser, station_setup.start() as station, reverse_proxy(station, headers) as client:
        with open_page(browser, client, expected=(401,)) as visit:
            page = visit.page
            page.get_by_label("Token").fill(TOKENS.operator)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("button", name="Sign out")).to_be_visible()
            expect(page.get_by_role("heading", name="Inspect")).to_be_visible()
            visit.add_files([("part.png", grey_png(200))])
            expect(page.locator(".verdict")).to_have_text("DEFECT")
            for image in page.locator(".stage img").all():
                expect(image).to_have_js_property("complete", True)
                assert image.evaluate("image => image.naturalWidth") > 0
            page.get_by_label("Your name").fill("Ana")
            page.get_by_role("button", name="Part is OK").click()
            expect(page.locator(".feedback-list")).to_contain_text("Ana: OK")
            visit.open_view("history")
            expect(page.locator(".inspection-row img")).to_have_js_property("complete", True)
            export = page.get_by_role("link", name="Export 1 row as CSV").evaluate("link => link.href")
            assert export.startswith(f"{client.base_url}v1/inspections.csv")
            send_as_operator(client, 120, 130)
            visit.open_view("review")  # which prefetches the images of the following inspections
            expect(page.locator(".stage img").first).to_have_js_property("complete", True)
            (cookie,) = page.context.cookies()
            assert cookie["path"] == f"{PROXY_PATH}/v1"
        assert all(PROXY_PATH in address for address in visit.urls if not address.startswith(("data:", "blob:")))


def test_the_documentation_page_calls_the_api_under_the_path(station_setup: StationSetup) -> None:
    with start_chromium() as browser, station_setup.start() as station, reverse_proxy(station) as client:
        page = browser.new_page()
        page.goto(f"{client.base_url}docs")
        page.locator("#operations-station-healthz_healthz_get button").first.click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".request-url pre")).to_have_text(f"{client.base_url}healthz")
        expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
