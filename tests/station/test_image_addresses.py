"""URLs of images: a browser's cache stays correct whatever log an image came from."""

import hashlib
import shutil
from pathlib import Path

import httpx
import pytest

from tests.station.services import grey_png
from tests.station.stations import StationSetup, check_problem, form_files, make_station_setup, send_images

KINDS = ("noisy", "restored", "heat", "thumbnail")


def test_a_new_log_gives_its_images_other_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = []
    for level in (40, 200):
        (tmp_path / "data").mkdir()
        with make_station_setup(tmp_path / "data", monkeypatch) as station_setup, station_setup.start() as client:
            (result,) = send_images(client, level)
            addresses.append({kind: result["pictures"][kind] for kind in KINDS})
            assert result["id"] == 1
        shutil.rmtree(tmp_path / "data")

    assert all(addresses[0][kind] != addresses[1][kind] for kind in KINDS)


def test_images_of_another_bundle_have_another_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for model in ("bundle 11111111", "bundle 22222222"):
        (tmp_path / model).mkdir()
        with make_station_setup(tmp_path / model, monkeypatch) as station_setup:
            station_setup.inspector.name = model
            with station_setup.start() as client:
                found.append(send_images(client, 40)[0]["pictures"])

    first, second = found
    assert (first["noisy"], first["thumbnail"]) == (second["noisy"], second["thumbnail"])
    assert {first["restored"], first["heat"]} & {second["restored"], second["heat"]} == set()


def test_only_the_uploaded_bytes_are_cached_as_immutable(client: httpx.Client) -> None:
    (result,) = send_images(client, 200)
    responses = {kind: client.get(result["pictures"][kind]) for kind in KINDS}
    by_number = client.get(f"/v1/inspections/{result['id']}/pictures/noisy")

    assert result["sha256"] == hashlib.sha256(grey_png(200)).hexdigest()
    assert result["sha256"] in result["pictures"]["noisy"]
    assert [kind for kind in KINDS if "immutable" in responses[kind].headers["cache-control"]] == ["noisy"]
    assert by_number.headers["cache-control"] == "private, no-cache"
    assert by_number.content == responses["noisy"].content == grey_png(200)


@pytest.mark.parametrize("kind", KINDS)
def test_old_urls_work_and_are_revalidated(client: httpx.Client, kind: str) -> None:
    (result,) = send_images(client, 200)
    by_content = client.get(result["pictures"][kind])
    by_number = client.get(f"/v1/inspections/{result['id']}/pictures/{kind}")

    assert by_number.content == by_content.content
    assert by_number.headers["etag"] == by_content.headers["etag"]
    again = client.get(by_number.request.url, headers={"If-None-Match": by_number.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == by_number.headers["cache-control"]
    assert client.get(by_number.request.url, headers={"If-None-Match": '"other"'}).content == by_content.content


def test_a_missing_image_is_a_problem(client: httpx.Client) -> None:
    send_images(client, 200)
    digest = hashlib.sha256(grey_png(200)).hexdigest()
    check_problem(client.get(f"/v1/pictures/{'0' * 64}/noisy"), 410)
    check_problem(client.get(f"/v1/pictures/{digest}/restored"), 410)
    check_problem(client.get(f"/v1/pictures/{digest}/restored?model=other"), 410)
    for path in (
        f"{digest}/noisy.jpg",
        "..%2f..%2flog.sqlite/noisy",
        f"{digest.upper()}/noisy",
        f"{digest[:-1]}/noisy",
    ):
        assert client.get(f"/v1/pictures/{path}").status_code in {404, 422}


@pytest.mark.parametrize("name", ["Gehäuse #3 & Co. ?a=b 11111111", "100% 11111111", "a/../b 11111111"])
def test_a_bundle_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with make_station_setup(tmp_path, monkeypatch) as station_setup:
        station_setup.inspector.name = name
        with station_setup.start() as client:
            (result,) = send_images(client, 200)
            assert {kind: client.get(result["pictures"][kind]).status_code for kind in KINDS} == dict.fromkeys(
                KINDS, 200
            )


def test_logged_inspections_are_returned_without_the_image_store(station_setup: StationSetup) -> None:
    """Images are stored, then logged, then returned; later faults of the store do not affect the verdict."""
    image_folder, moved = station_setup.folder / "pictures", station_setup.folder / "moved"
    write = station_setup.log.write

    def write_and_remove_images(entries: object) -> list[int]:
        numbers = write(entries)  # type: ignore[arg-type]
        image_folder.rename(moved)
        return numbers

    with station_setup.start() as client:
        station_setup.log.write = write_and_remove_images  # type: ignore[method-assign]
        response = client.post("/v1/inspect", files=form_files(("part.png", grey_png(200))))
        assert response.status_code == 200, response.text
        (result,) = response.json()["inspections"]
        assert result["verdict"] == "defect"

        (listed,) = client.get("/v1/inspections").json()["inspections"]
        assert listed == client.get(f"/v1/inspections/{result['id']}").json() == result
        feedback = client.post(f"/v1/inspections/{result['id']}/feedback", json={"says": "ok"})
        assert feedback.status_code == 201, "it is in the log, so nobody must repeat it"
        check_problem(client.get(result["pictures"]["noisy"]), 503)
        assert client.get("/v1/inspections.csv").text.count("part.png") == 1

        moved.rename(image_folder)
        assert client.get(result["pictures"]["noisy"]).content == grey_png(200)
        assert client.get(f"/v1/inspections/{result['id']}").json()["pictures"]["restored"]
