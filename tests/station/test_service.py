"""The inspection service with a fake bundle and a fake log."""

import asyncio
import hashlib
import time

import numpy as np
import pytest

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.noise.registry import NoiseType
from clearcast.station.records import InspectionEntry, InspectionRecord
from clearcast.station.service import ImageUpload, InspectionService, QueueFull, ServiceUnavailable
from clearcast.types import Verdict
from tests.station.services import (
    BrightnessInspector,
    ServiceSetup,
    grey_png,
    loaded_bundle,
    upload,
    wait_until,
)


def names(records: list[InspectionRecord]) -> list[str]:
    return [record.entry.name for record in records]


def test_returned_inspections_are_logged_and_stored(service_setup: ServiceSetup) -> None:
    async def run() -> list[InspectionRecord]:
        async with service_setup.service() as service:
            return await service.inspect([upload(200, "a.png", "line 1"), upload(20, "b.png")])

    before = time.time_ns() // 1_000_000
    bright, dark = asyncio.run(run())
    assert {bright.id: bright.entry, dark.id: dark.entry} == dict(enumerate(service_setup.log.entries, 1))
    at, ms = bright.entry.at, bright.entry.ms
    assert before <= at <= time.time_ns() // 1_000_000
    assert bright.entry == InspectionEntry(
        at=at,
        name="a.png",
        station="line 1",
        sha256=hashlib.sha256(grey_png(200)).hexdigest(),
        size=len(grey_png(200)),
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
    assert service_setup.image_store.noisy(bright.entry.sha256) == grey_png(200)
    assert service_setup.image_store.denoised(bright.entry.sha256, bright.entry.model)
    assert service_setup.image_store.heat(bright.entry.sha256, bright.entry.model)


def test_an_on_demand_bundle_denoises_when_the_image_is_requested(service_setup: ServiceSetup) -> None:
    service_setup.inspector.always_denoises = False

    async def run() -> InspectionRecord:
        async with service_setup.service() as service:
            (record,) = await service.inspect([upload(level=100)])
            entry = record.entry
            assert not list(service_setup.folder.rglob("*.jpg")), "nothing is denoised for the verdict"
            assert service_setup.image_store.available(entry.sha256, entry.model) == {"noisy", "restored", "heat"}
            assert service_setup.image_store.denoised(entry.sha256, "another 1") is None
            denoised = service_setup.image_store.denoised(entry.sha256, entry.model)
            assert denoised is not None
            assert imaging.decode_image(denoised, Channels.GREY).shape == (16, 20)
            return record

    record = asyncio.run(run())
    assert (record.entry.height, record.entry.width) == (16, 20)
    assert len(list(service_setup.folder.rglob("*.jpg"))) == 1


def test_results_are_in_the_order_of_the_uploads(service_setup: ServiceSetup) -> None:
    async def run() -> list[InspectionRecord]:
        async with service_setup.service(threads=4) as service:
            return await service.inspect([upload(level, f"{level}.png") for level in range(0, 250, 10)])

    records = asyncio.run(run())
    assert names(records) == [f"{level}.png" for level in range(0, 250, 10)]
    assert [record.entry.brightness for record in records] == list(range(0, 250, 10))
    assert [service_setup.log.entries[record.id - 1] for record in records] == [record.entry for record in records]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "unknown image format"), (b"<svg/>", "unknown image format"), (grey_png(1)[:60], "truncated")],
)
def test_an_undecodable_image_gives_a_record_with_an_error(
    service_setup: ServiceSetup, data: bytes, reason: str
) -> None:
    async def run() -> list[InspectionRecord]:
        async with service_setup.service() as service:
            return await service.inspect(
                [upload(1, "a.png"), ImageUpload(data=data, name="bad.png"), upload(2, "c.png")]
            )

    records = asyncio.run(run())
    bad = records[1].entry
    assert [bool(record.entry.error) for record in records] == [False, True, False]
    assert bad.error.startswith("bad.png: ")
    assert reason in bad.error
    assert str(service_setup.folder) not in bad.error
    assert {bad.verdict, bad.p_defect, bad.width, bad.height, bad.noise_type, bad.ms} == {None}
    assert (bad.sha256, bad.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert bad in service_setup.log.entries


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("/srv/secret/inspect.onnx"), ValueError("odd")])
def test_an_exception_is_an_error_of_its_image_only(service_setup: ServiceSetup, error: Exception) -> None:
    service_setup.inspector.errors["bad.png"] = error

    async def run() -> list[InspectionRecord]:
        async with service_setup.service(threads=1) as service:
            return await service.inspect([upload(1, "a.png"), upload(1, "bad.png"), upload(1, "c.png")])

    errors = [record.entry.error for record in asyncio.run(run())]
    assert errors == [
        "",
        f"bad.png: could not be inspected ({type(error).__name__}); contact the station's administrator",
        "",
    ]


def test_names_become_text_that_every_database_accepts(service_setup: ServiceSetup) -> None:
    sent_names = ["a\0b.png", "\ud800.png", "x" * 300, "<b>&'\".png", "über café.png", "../../etc/passwd", ""]

    async def run() -> list[InspectionRecord]:
        async with service_setup.service() as service:
            return await service.inspect([upload(1, name, station="line\0" + "1" * 300) for name in sent_names])

    records = asyncio.run(run())
    expected = ["a\ufffdb.png", "\ufffd.png", "x" * 255, "<b>&'\".png", "über café.png", "../../etc/passwd", ""]
    assert names(records) == expected
    assert {record.entry.station for record in records} == {"line\ufffd" + "1" * 250}


def test_results_wait_for_the_log_and_finished_jobs_share_a_transaction(service_setup: ServiceSetup) -> None:
    async def run() -> None:
        async with service_setup.service() as service:
            service_setup.log.unblocked.clear()
            first = asyncio.create_task(service.inspect([upload(1, "first")]))
            await wait_until(lambda: service_setup.log.writes == [["first"]])
            others = asyncio.create_task(service.inspect([upload(2, str(number)) for number in range(6)]))
            await wait_until(lambda: service._finished.qsize() == 6)
            assert not first.done()
            assert not others.done()
            assert not service_setup.log.entries
            service_setup.log.unblocked.set()
            assert names(await first) == ["first"]
            assert names(await others) == list("012345")
            assert [len(write) for write in service_setup.log.writes] == [1, 6]

    asyncio.run(run())


def test_a_full_queue_refuses_whole_requests_until_it_has_room(service_setup: ServiceSetup) -> None:
    async def run() -> None:
        async with service_setup.service(threads=1, waiting=3) as service:
            service_setup.inspector.unblocked.clear()
            two = asyncio.create_task(service.inspect([upload(1), upload(2)]))
            await wait_until(lambda: service.state().waiting == 2)
            more = asyncio.create_task(service.inspect([upload(3), upload(4)]))
            await wait_until(lambda: service.state().waiting == 4)
            with pytest.raises(QueueFull, match=r"full \(4 images are waiting\); try again in \d+ s") as refused:
                await service.inspect([upload(5)])
            assert 1 <= refused.value.retry_after <= 60
            service_setup.inspector.unblocked.set()
            assert len(await two + await more) == 4
            await wait_until(lambda: service.state().waiting == 0)
            assert len(await service.inspect([upload(6)])) == 1
        assert len(service_setup.log.entries) == 5

    asyncio.run(run())


def test_an_idle_service_accepts_a_request_larger_than_the_queue(service_setup: ServiceSetup) -> None:
    async def run() -> list[InspectionRecord]:
        async with service_setup.service(waiting=2) as service:
            return await service.inspect([upload(1)] * 9)

    assert len(asyncio.run(run())) == 9


def test_an_empty_request_gives_no_records(service_setup: ServiceSetup) -> None:
    async def run() -> list[InspectionRecord]:
        async with service_setup.service() as service:
            return await service.inspect([])

    assert asyncio.run(run()) == []


def test_a_single_image_uses_all_cores_and_several_use_one_each(service_setup: ServiceSetup) -> None:
    wide = BrightnessInspector()
    service_setup.bundle_loader.bundles["bundle"] = loaded_bundle(service_setup.inspector, wide=wide)

    async def run() -> None:
        async with service_setup.service() as service:
            await service.inspect([upload(1, "alone")])
            await service.inspect([upload(1, "one"), upload(1, "two"), upload(1, "three")])

    asyncio.run(run())
    assert wide.inspected[0] == "alone"
    assert "alone" not in service_setup.inspector.inspected
    assert {"one", "two"} <= {*service_setup.inspector.inspected}


def test_a_cancelled_request_is_logged(service_setup: ServiceSetup) -> None:
    async def run() -> None:
        async with service_setup.service() as service:
            service_setup.inspector.unblocked.clear()
            gone = asyncio.create_task(service.inspect([upload(1, "a"), upload(1, "b"), upload(1, "c")]))
            await wait_until(lambda: service.state().waiting == 3)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            service_setup.inspector.unblocked.set()
            assert names(await service.inspect([upload(1, "d")])) == ["d"]

    asyncio.run(run())
    assert {entry.name for entry in service_setup.log.entries} == {"a", "b", "c", "d"}


def test_closing_finishes_accepted_jobs_and_refuses_new_ones(service_setup: ServiceSetup) -> None:
    async def run() -> list[InspectionRecord]:
        async with service_setup.service() as service:
            service_setup.inspector.unblocked.clear()
            busy = asyncio.create_task(service.inspect([upload(1, str(number)) for number in range(8)]))
            await wait_until(lambda: service.state().waiting == 8)
            closing = asyncio.create_task(service.close())
            await wait_until(lambda: not service.state().ready)
            with pytest.raises(ServiceUnavailable, match="closing"):
                await service.inspect([upload(1, "late")])
            assert not closing.done()
            service_setup.inspector.unblocked.set()
            await closing
            return await busy

    assert names(asyncio.run(run())) == list("01234567")
    assert sorted(entry.name for entry in service_setup.log.entries) == list("01234567")


def test_a_service_that_was_not_started_can_be_closed(service_setup: ServiceSetup) -> None:
    service = InspectionService(
        service_setup.folder / "bundle", log=service_setup.log.as_log, image_store=service_setup.image_store
    )
    asyncio.run(service.close())
    assert service.state().reasons[0] == "the station is closing"


def test_the_status_describes_the_bundle(service_setup: ServiceSetup) -> None:
    async def run() -> None:
        async with service_setup.service() as service:
            state = service.state()
            assert (state.ready, state.reasons, state.waiting) == (True, (), 0)
            assert (state.model, state.threshold, state.has_evidence) == ("bright 12345678", 0.5, True)
            assert state.manifest is service_setup.inspector.manifest
            assert (state.shadow, state.shadow_fault) == (None, "")

    asyncio.run(run())


def test_images_are_decoded_in_the_channels_of_each_bundle(service_setup: ServiceSetup) -> None:
    colours = np.zeros((16, 20, 3), np.uint8)
    colours[..., 0] = 250
    service_setup.bundle_loader.bundles["shadow"] = loaded_bundle(
        BrightnessInspector(name="colour 1", channels=Channels.RGB, threshold=0.1)
    )

    async def run() -> InspectionRecord:
        async with service_setup.service(shadow=service_setup.folder / "shadow") as service:
            await wait_until(lambda: service.state().shadow == "colour 1")
            (record,) = await service.inspect([ImageUpload(data=imaging.encode_image(colours, ".png"), name="red.png")])
            return record

    entry = asyncio.run(run()).entry
    assert entry.brightness == pytest.approx(0.299 * 250, abs=1)
    assert entry.shadow
    assert entry.shadow.p_defect == pytest.approx(250 / 3 / 255)
