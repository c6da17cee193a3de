import asyncio
import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.noise.registry import NoiseType
from clearcast.station.records import InspectionEntry, InspectionRecord
from clearcast.station.service import ImageUpload, InspectionService, QueueFull, ServiceUnavailable
from clearcast.types import Verdict
from tests.station.services import Bright, Scene, loaded, picture, scene_in, until, upload


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return scene_in(tmp_path, monkeypatch)


def names(records: list[InspectionRecord]) -> list[str]:
    return [record.entry.name for record in records]


def test_answered_inspections_are_logged_and_stored(scene: Scene) -> None:
    async def run() -> list[InspectionRecord]:
        async with scene.desk() as desk:
            return await desk.inspect([upload(200, "a.png", "line 1"), upload(20, "b.png")])

    before = time.time_ns() // 1_000_000
    bright, dark = asyncio.run(run())
    assert {bright.id: bright.entry, dark.id: dark.entry} == dict(enumerate(scene.ledger.entries, 1))
    at, ms = bright.entry.at, bright.entry.ms
    assert before <= at <= time.time_ns() // 1_000_000
    assert bright.entry == InspectionEntry(
        at=at,
        name="a.png",
        station="line 1",
        sha256=hashlib.sha256(picture(200)).hexdigest(),
        size=len(picture(200)),
        width=20,
        height=16,
        verdict=Verdict.DEFECT,
        p_defect=200 / 255,
        threshold=0.5,
        noise_type=NoiseType.NONE,
        noise_level="",
        p_noise=0.75,
        ms=ms,
        model="bright 12345678",
        error="",
        brightness=200.0,
        sharpness=1.0,
    )
    assert (dark.entry.name, dark.entry.verdict, dark.entry.station) == ("b.png", Verdict.OK, "")
    assert scene.shelf.noisy(bright.entry.sha256) == picture(200)
    assert scene.shelf.denoised(bright.entry.sha256, bright.entry.model)
    assert scene.shelf.heat(bright.entry.sha256, bright.entry.model)


def test_a_quick_bundle_restores_when_somebody_looks(scene: Scene) -> None:
    scene.inspector.always_denoises = False

    async def run() -> InspectionRecord:
        async with scene.desk() as desk:
            (record,) = await desk.inspect([upload(brightness=100)])
            entry = record.entry
            assert not list(scene.folder.rglob("*.jpg")), "nothing is denoised for the answer"
            assert scene.shelf.available(entry.sha256, entry.model) == {"noisy", "restored", "heat"}
            assert scene.shelf.denoised(entry.sha256, "another 1") is None
            restored = scene.shelf.denoised(entry.sha256, entry.model)
            assert restored is not None
            assert imaging.decode_image(restored, Channels.GREY).shape == (16, 20)
            return record

    record = asyncio.run(run())
    assert (record.entry.height, record.entry.width) == (16, 20)
    assert len(list(scene.folder.rglob("*.jpg"))) == 1


def test_answers_come_in_the_order_of_the_uploads(scene: Scene) -> None:
    async def run() -> list[InspectionRecord]:
        async with scene.desk(threads=4) as desk:
            return await desk.inspect([upload(level, f"{level}.png") for level in range(0, 250, 10)])

    records = asyncio.run(run())
    assert names(records) == [f"{level}.png" for level in range(0, 250, 10)]
    assert [record.entry.brightness for record in records] == list(range(0, 250, 10))
    assert [scene.ledger.entries[record.id - 1] for record in records] == [record.entry for record in records]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "unknown image format"), (b"<svg/>", "unknown image format"), (picture(1)[:60], "truncated")],
)
def test_an_undecodable_image_gives_a_record_with_an_error(scene: Scene, data: bytes, reason: str) -> None:
    async def run() -> list[InspectionRecord]:
        async with scene.desk() as desk:
            return await desk.inspect([upload(1, "a.png"), ImageUpload(data=data, name="bad.png"), upload(2, "c.png")])

    records = asyncio.run(run())
    bad = records[1].entry
    assert [bool(record.entry.error) for record in records] == [False, True, False]
    assert bad.error.startswith("bad.png: ")
    assert reason in bad.error
    assert str(scene.folder) not in bad.error
    assert {bad.verdict, bad.p_defect, bad.width, bad.height, bad.noise_type, bad.ms} == {None}
    assert (bad.sha256, bad.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert bad in scene.ledger.entries


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("/srv/secret/inspect.onnx"), ValueError("odd")])
def test_an_exception_is_an_error_of_its_image_only(scene: Scene, error: Exception) -> None:
    scene.inspector.fails["bad.png"] = error

    async def run() -> list[InspectionRecord]:
        async with scene.desk(threads=1) as desk:
            return await desk.inspect([upload(1, "a.png"), upload(1, "bad.png"), upload(1, "c.png")])

    said = [record.entry.error for record in asyncio.run(run())]
    assert said == [
        "",
        f"bad.png: could not be inspected ({type(error).__name__}); contact the station's administrator",
        "",
    ]


def test_names_become_text_that_every_database_accepts(scene: Scene) -> None:
    senders = ["a\0b.png", "\ud800.png", "x" * 300, "<b>&'\".png", "über café.png", "../../etc/passwd", ""]

    async def run() -> list[InspectionRecord]:
        async with scene.desk() as desk:
            return await desk.inspect([upload(1, name, station="line\0" + "1" * 300) for name in senders])

    records = asyncio.run(run())
    expected = ["a\ufffdb.png", "\ufffd.png", "x" * 255, "<b>&'\".png", "über café.png", "../../etc/passwd", ""]
    assert names(records) == expected
    assert {record.entry.station for record in records} == {"line\ufffd" + "1" * 250}


def test_answers_wait_for_the_log_and_finished_jobs_share_a_transaction(scene: Scene) -> None:
    async def run() -> None:
        async with scene.desk() as desk:
            scene.ledger.open.clear()
            first = asyncio.create_task(desk.inspect([upload(1, "first")]))
            await until(lambda: scene.ledger.writes == [["first"]])
            others = asyncio.create_task(desk.inspect([upload(2, str(number)) for number in range(6)]))
            await until(lambda: desk._finished.qsize() == 6)
            assert not first.done()
            assert not others.done()
            assert not scene.ledger.entries
            scene.ledger.open.set()
            assert names(await first) == ["first"]
            assert names(await others) == list("012345")
            assert [len(write) for write in scene.ledger.writes] == [1, 6]

    asyncio.run(run())


def test_a_full_queue_refuses_whole_requests_until_it_has_room(scene: Scene) -> None:
    async def run() -> None:
        async with scene.desk(threads=1, waiting=3) as desk:
            scene.inspector.open.clear()
            two = asyncio.create_task(desk.inspect([upload(1), upload(2)]))
            await until(lambda: desk.state().waiting == 2)
            more = asyncio.create_task(desk.inspect([upload(3), upload(4)]))
            await until(lambda: desk.state().waiting == 4)
            with pytest.raises(QueueFull, match=r"full \(4 images are waiting\); try again in \d+ s") as refused:
                await desk.inspect([upload(5)])
            assert 1 <= refused.value.retry_after <= 60
            scene.inspector.open.set()
            assert len(await two + await more) == 4
            await until(lambda: desk.state().waiting == 0)
            assert len(await desk.inspect([upload(6)])) == 1
        assert len(scene.ledger.entries) == 5

    asyncio.run(run())


def test_an_idle_service_accepts_a_request_larger_than_the_queue(scene: Scene) -> None:
    async def run() -> list[InspectionRecord]:
        async with scene.desk(waiting=2) as desk:
            return await desk.inspect([upload(1)] * 9)

    assert len(asyncio.run(run())) == 9


def test_an_empty_request_gives_no_records(scene: Scene) -> None:
    async def run() -> list[InspectionRecord]:
        async with scene.desk() as desk:
            return await desk.inspect([])

    assert asyncio.run(run()) == []


def test_a_single_image_uses_all_cores_and_several_use_one_each(scene: Scene) -> None:
    wide = Bright()
    scene.shop.there["bundle"] = loaded(scene.inspector, wide=wide)

    async def run() -> None:
        async with scene.desk() as desk:
            await desk.inspect([upload(1, "alone")])
            await desk.inspect([upload(1, "one"), upload(1, "two"), upload(1, "three")])

    asyncio.run(run())
    assert wide.asked[0] == "alone"
    assert "alone" not in scene.inspector.asked
    assert {"one", "two"} <= {*scene.inspector.asked}


def test_a_cancelled_request_is_logged(scene: Scene) -> None:
    async def run() -> None:
        async with scene.desk() as desk:
            scene.inspector.open.clear()
            gone = asyncio.create_task(desk.inspect([upload(1, "a"), upload(1, "b"), upload(1, "c")]))
            await until(lambda: desk.state().waiting == 3)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            scene.inspector.open.set()
            assert names(await desk.inspect([upload(1, "d")])) == ["d"]

    asyncio.run(run())
    assert {entry.name for entry in scene.ledger.entries} == {"a", "b", "c", "d"}


def test_closing_finishes_accepted_jobs_and_refuses_new_ones(scene: Scene) -> None:
    async def run() -> list[InspectionRecord]:
        async with scene.desk() as desk:
            scene.inspector.open.clear()
            busy = asyncio.create_task(desk.inspect([upload(1, str(number)) for number in range(8)]))
            await until(lambda: desk.state().waiting == 8)
            closing = asyncio.create_task(desk.close())
            await until(lambda: not desk.state().ready)
            with pytest.raises(ServiceUnavailable, match="closing"):
                await desk.inspect([upload(1, "late")])
            assert not closing.done()
            scene.inspector.open.set()
            await closing
            return await busy

    assert names(asyncio.run(run())) == list("01234567")
    assert sorted(entry.name for entry in scene.ledger.entries) == list("01234567")


def test_a_service_that_was_not_started_can_be_closed(scene: Scene) -> None:
    desk = InspectionService(scene.folder / "bundle", log=scene.ledger.log, shelf=scene.shelf)
    asyncio.run(desk.close())
    assert desk.state().reasons[0] == "the station is closing"


def test_the_status_describes_the_bundle(scene: Scene) -> None:
    async def run() -> None:
        async with scene.desk() as desk:
            state = desk.state()
            assert (state.ready, state.reasons, state.waiting) == (True, (), 0)
            assert (state.model, state.threshold, state.has_evidence) == ("bright 12345678", 0.5, True)
            assert state.manifest is scene.inspector.manifest
            assert (state.shadow, state.shadow_fault) == (None, "")

    asyncio.run(run())


def test_images_are_decoded_in_the_channels_of_each_bundle(scene: Scene) -> None:
    colours = np.zeros((16, 20, 3), np.uint8)
    colours[..., 0] = 250
    scene.shop.there["shadow"] = loaded(Bright(name="colour 1", channels=Channels.RGB, threshold=0.1))

    async def run() -> InspectionRecord:
        async with scene.desk(shadow=scene.folder / "shadow") as desk:
            await until(lambda: desk.state().shadow == "colour 1")
            (record,) = await desk.inspect([ImageUpload(data=imaging.encode_image(colours, ".png"), name="red.png")])
            return record

    entry = asyncio.run(run()).entry
    assert entry.brightness == pytest.approx(0.299 * 250, abs=1)
    assert entry.shadow
    assert entry.shadow.p_defect == pytest.approx(250 / 3 / 255)
