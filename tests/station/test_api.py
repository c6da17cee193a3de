from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from desks import picture
from stations import Scene, files_of, problem_of, scene_in, send

from clearcast import imaging
from clearcast.imaging import Channels


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def client(scene: Scene) -> Iterator[httpx.Client]:
    with scene.open() as opened:
        yield opened


def test_pictures_are_answered_in_their_order_and_are_in_the_log(client: httpx.Client) -> None:
    dark, bright = send(client, 40, 220)

    assert (dark["name"], dark["verdict"]) == ("part 40.png", "ok")
    assert (bright["name"], bright["verdict"]) == ("part 220.png", "defect")
    assert bright["p_defect"] == pytest.approx(220 / 255)
    assert bright["station"] == "line 1"
    assert client.get(f"/v1/inspections/{bright['id']}").json() == bright
    logged = client.get("/v1/inspections").json()["inspections"]
    assert sorted(one["id"] for one in logged) == sorted([dark["id"], bright["id"]])


def test_an_inspection_says_what_the_documents_promise(client: httpx.Client) -> None:
    (said,) = send(client, 200, station="line 7")

    assert list(said) == [
        *("id", "at", "name", "station", "sha256", "size", "width", "height", "verdict", "p_defect", "threshold"),
        *("noise_type", "noise_level", "p_noise", "ms", "model", "error", "brightness", "sharpness", "sigma"),
        *("density", "shadow", "feedback", "disagreement", "pictures"),
    ]
    assert said["at"].endswith("Z")
    assert (said["width"], said["height"], said["station"]) == (20, 16, "line 7")
    assert said["feedback"] == []


def test_pictures_come_back(client: httpx.Client) -> None:
    (said,) = send(client, 200)
    assert all(said["pictures"].values()), said["pictures"]
    answers = {kind: client.get(path) for kind, path in said["pictures"].items()}

    assert answers["noisy"].content == picture(200)
    assert answers["noisy"].headers["content-type"] == "image/png"
    assert {kind: answer.headers["content-type"] for kind, answer in answers.items()} == {
        "noisy": "image/png",
        "restored": "image/jpeg",
        "heat": "image/png",
        "thumbnail": "image/jpeg",
    }
    assert imaging.decode(answers["restored"].content, Channels.GREY).mean() == pytest.approx(200, abs=2)
    for answer in answers.values():
        assert "immutable" in answer.headers["cache-control"]
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_bad_picture_among_good_ones_is_an_inspection_with_an_error(client: httpx.Client) -> None:
    files = files_of(("a.png", picture(20)), ("b.txt", b"no picture"), ("c.png", picture(230)[:-30]))
    answer = client.post("/v1/inspect", files=files)
    good, text, cut = answer.json()["inspections"]

    assert answer.status_code == 200
    assert good["verdict"] == "ok"
    assert "not a picture" in text["error"]
    assert text["verdict"] is None
    assert set(text["pictures"].values()) == {None}
    assert "c.png" in cut["error"]
    assert {one["id"] for one in client.get("/v1/inspections?verdict=none").json()["inspections"]} == {
        text["id"],
        cut["id"],
    }


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not a picture"),
        (b"", 422, "empty"),
        (picture(3)[:40], 422, "p.png"),
        (imaging.encode(np.zeros((300, 400), np.uint8), ".png"), 413, "at most 100,000 pixels"),
        (imaging.encode(np.zeros((200, 200, 3), np.uint8), ".bmp"), 413, "at most 100,000 are taken"),
        (bytes(cv2.imencode(".png", np.zeros((20, 20), np.uint16))[1]), 422, "16 bits"),
    ],
)
def test_where_nothing_can_be_inspected_the_problem_says_why(
    scene: Scene, data: bytes, status: int, words: str
) -> None:
    scene.limits = type(scene.limits)(bytes=100_000, pixels=100_000)
    with scene.open() as client:
        told = problem_of(client.post("/v1/inspect", files=files_of(("p.png", data))), status)
        (logged,) = client.get("/v1/inspections").json()["inspections"]

    assert words in told["detail"]
    assert told["inspections"] == [logged]
