"""The inspection service with missing or failing bundles, log, disk and shadow bundle, and drift."""

import asyncio
import threading
from pathlib import Path

import pytest

from clearcast.inference.drift_statistics import DriftReference
from clearcast.station.image_store import ImageStore, StoreUnavailable
from clearcast.station.records import InspectionEntry, InspectionRecord, ShadowResult
from clearcast.station.service import ImageUpload, InspectionService, ServiceUnavailable, monitors
from clearcast.station.service import queue as queue_module
from clearcast.station.service.state import LOG_UNAVAILABLE_MESSAGE
from clearcast.types import Verdict
from tests.station.services import (
    BrightnessInspector,
    ServiceSetup,
    grey_png,
    loaded_bundle,
    upload,
    wait_until,
)


def test_a_missing_bundle_is_reported_and_loaded_when_it_appears(service_setup: ServiceSetup) -> None:
    bundle = service_setup.bundle_loader.bundles.pop("bundle")

    async def run() -> None:
        async with service_setup.service(ready=False) as service:
            await wait_until(lambda: len(service_setup.bundle_loader.requested) > 2)
            state = service.state()
            assert (state.ready, state.model, state.manifest) == (False, None, None)
            assert state.reasons == ("bundle: no such folder or file; expected a bundle",), "no folder names"
            with pytest.raises(ServiceUnavailable, match="bundle: no such folder"):
                await service.inspect([upload()])
            assert service.drift() == []
            service_setup.bundle_loader.bundles["bundle"] = bundle
            await wait_until(lambda: service.state().ready)
            assert len(await service.inspect([upload()])) == 1

    asyncio.run(run())


def test_uploads_are_refused_while_the_bundle_is_loading(service_setup: ServiceSetup) -> None:
    service = InspectionService(
        service_setup.folder / "bundle", log=service_setup.log.as_log, image_store=service_setup.image_store
    )
    assert service.state().reasons == ("the bundle bundle is being loaded",)
    with pytest.raises(ServiceUnavailable, match="is being loaded"):
        asyncio.run(service.inspect([upload()]))


@pytest.mark.parametrize("damage", ["no manifest", "other bytes"])
def test_a_damaged_bundle_is_reported(
    service_setup: ServiceSetup, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    if damage == "no manifest":
        (tmp_path / "bundle").mkdir()
    else:
        (tmp_path / "bundle").write_bytes(b"no zip")

    async def run() -> None:
        async with service_setup.service(ready=False) as service:
            await wait_until(lambda: "loaded" not in service.state().reasons[0])
            assert "bundle: n" in service.state().reasons[0]
            assert str(tmp_path) not in service.state().reasons[0]

    asyncio.run(run())


def test_an_unavailable_log_is_reported_and_recovers(service_setup: ServiceSetup) -> None:
    async def run() -> None:
        async with service_setup.service() as service:
            service_setup.log.is_unavailable = True
            with pytest.raises(ServiceUnavailable, match="the log cannot be reached"):
                await service.inspect([upload(1, "a"), upload(1, "b")])
            assert service.state().reasons == (LOG_UNAVAILABLE_MESSAGE,), "no database names"
            inspected = len(service_setup.inspector.inspected)
            with pytest.raises(ServiceUnavailable, match="the log cannot be reached"):
                await service.inspect([upload(1, "c")])
            assert len(service_setup.inspector.inspected) == inspected, "refused before the inspection"
            assert not service_setup.log.entries
            service_setup.log.is_unavailable = False
            await wait_until(lambda: service.state().ready)
            assert len(await service.inspect([upload(1, "d")])) == 1

    asyncio.run(run())
    assert [entry.name for entry in service_setup.log.entries] == ["d"]


def test_the_log_is_probed_until_it_recovers_after_any_error(
    service_setup: ServiceSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("no such table")

    async def run() -> None:
        async with service_setup.service() as service:
            with monkeypatch.context() as context:
                context.setattr(service_setup.log, "check_writable", broken)
                context.setattr(service_setup.log, "write", service_setup.log.raise_unavailable)
                with pytest.raises(ServiceUnavailable):
                    await service.inspect([upload()])
                await wait_until(lambda: service.state().reasons == ("the log fails",))
            await wait_until(lambda: service.state().ready)

    asyncio.run(run())


def test_an_unavailable_image_store_is_reported_and_recovers(service_setup: ServiceSetup) -> None:
    image_folder, moved = service_setup.folder / "pictures", service_setup.folder / "moved"

    async def run() -> None:
        async with service_setup.service() as service:
            image_folder.rename(moved)
            with pytest.raises(ServiceUnavailable, match="images cannot be stored"):
                await service.inspect([upload(1), upload(2)])
            assert not service_setup.log.entries
            assert "images cannot be stored" in service.state().reasons[0]
            moved.rename(image_folder)
            await wait_until(lambda: service.state().ready)
            assert len(await service.inspect([upload(3)])) == 1

    asyncio.run(run())
    assert len(service_setup.log.entries) == 1


def test_a_disk_full_at_the_denoised_image_is_reported(
    service_setup: ServiceSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    image = upload(7, "a")  # encoded before

    async def run() -> None:
        async with service_setup.service() as service:
            monkeypatch.setattr("clearcast.station.image_store.imaging.encode_image", full)
            with pytest.raises(ServiceUnavailable, match="No space left"):
                await service.inspect([image])
            monkeypatch.undo()
            await wait_until(lambda: service.state().ready)
            assert len(await service.inspect([upload(3)])) == 1

    asyncio.run(run())
    assert len(service_setup.log.entries) == 1


def test_a_hanging_disk_does_not_block_closing(service_setup: ServiceSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_SHUTDOWN_TIMEOUT", 0.1)
    monkeypatch.setattr(queue_module, "_RETRY_INTERVAL", 0.1)
    started, resume, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object) -> str:
        started.set()
        resume.wait(60)
        ended.set()
        raise StoreUnavailable("the drive is gone")

    async def run() -> None:
        async with service_setup.service() as service:
            monkeypatch.setattr(ImageStore, "put", hang)
            inspected = asyncio.create_task(service.inspect([upload(1)]))
            await wait_until(started.is_set)
        assert not ended.is_set()
        assert all(thread.daemon for thread in threading.enumerate() if thread.name in {"disk", "inspect", "log"})
        resume.set()
        with pytest.raises(ServiceUnavailable):
            await inspected

    asyncio.run(run())


def test_an_entry_that_the_log_rejects_does_not_affect_others(service_setup: ServiceSetup) -> None:
    service_setup.log.rejected_names = {"odd"}

    async def run() -> None:
        async with service_setup.service() as service:
            service_setup.log.unblocked.clear()
            first = asyncio.create_task(service.inspect([upload(1, "first")]))
            await wait_until(lambda: bool(service_setup.log.writes))
            good = [asyncio.create_task(service.inspect([upload(1, name)])) for name in ("a", "b")]
            odd = asyncio.create_task(service.inspect([upload(1, "odd")]))
            await wait_until(lambda: service._finished.qsize() == 3)
            service_setup.log.unblocked.set()
            assert [record.entry.name for task in (first, *good) for record in await task] == ["first", "a", "b"]
            with pytest.raises(ServiceUnavailable, match="could not be logged"):
                await odd
            assert service.state().ready

    asyncio.run(run())
    assert {entry.name for entry in service_setup.log.entries} == {"first", "a", "b"}


def test_a_bug_is_raised_and_the_next_image_is_inspected(
    service_setup: ServiceSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with service_setup.service(threads=1) as service:
            with monkeypatch.context() as context:
                context.setattr(service_setup.image_store, "put", lambda _: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    await service.inspect([upload()])
            assert len(await service.inspect([upload()])) == 1
            await wait_until(lambda: service.state().waiting == 0)

    asyncio.run(run())


def inspect_with_shadow(
    service_setup: ServiceSetup, name: str = "part.png", data: bytes | None = None
) -> InspectionEntry:
    """Inspect an image once the shadow bundle was requested; return its entry."""

    async def run() -> InspectionRecord:
        async with service_setup.service(shadow=service_setup.folder / "shadow") as service:
            await wait_until(
                lambda: (
                    "shadow" in service_setup.bundle_loader.requested and "is being" not in service.state().shadow_fault
                )
            )
            (record,) = await service.inspect([ImageUpload(data=data or grey_png(100), name=name)])
            return record

    return asyncio.run(run()).entry


def test_the_shadow_bundle_gives_a_result_and_no_verdict(service_setup: ServiceSetup) -> None:
    service_setup.bundle_loader.bundles["shadow"] = loaded_bundle(BrightnessInspector(name="shadow 1", threshold=0.1))
    entry = inspect_with_shadow(service_setup)
    assert (entry.verdict, entry.model) == (Verdict.OK, "bright 12345678")
    assert entry.shadow == ShadowResult(model="shadow 1", verdict=Verdict.DEFECT, p_defect=100 / 255, threshold=0.1)


def test_a_missing_shadow_bundle_does_not_affect_the_verdict(service_setup: ServiceSetup) -> None:
    entry = inspect_with_shadow(service_setup)
    assert (entry.verdict, entry.error) == (Verdict.OK, "")
    reason = "shadow: no such folder or file; expected a bundle"
    assert entry.shadow == ShadowResult(model="shadow", verdict=None, p_defect=None, threshold=None, error=reason)


def test_a_failing_shadow_bundle_does_not_affect_the_verdict(service_setup: ServiceSetup) -> None:
    service_setup.bundle_loader.bundles["shadow"] = loaded_bundle(
        BrightnessInspector(name="shadow 1", errors={"part.png": RuntimeError("no")})
    )
    entry = inspect_with_shadow(service_setup)
    assert (entry.verdict, entry.error) == (Verdict.OK, "")
    assert entry.shadow
    assert entry.shadow.verdict is None
    assert "could not be inspected (RuntimeError)" in entry.shadow.error


def test_the_shadow_bundle_does_not_inspect_undecodable_files(service_setup: ServiceSetup) -> None:
    shadow = BrightnessInspector(name="shadow 1")
    service_setup.bundle_loader.bundles["shadow"] = loaded_bundle(shadow)
    entry = inspect_with_shadow(service_setup, data=b"no image")
    assert entry.shadow
    assert entry.shadow.error == entry.error != ""
    assert not shadow.inspected


REFERENCE: DriftReference = {
    "pictures": "test",
    "numbers": {
        "brightness": {"count": 100, "quantiles": [190, 192, 194, 198, 200, 202, 206, 208, 210]},
        "sharpness": {"count": 100, "quantiles": [1.0] * 9},
    },
    "noise_types": {"none": 1.0},
    "verdicts": {},
}


def test_drift_is_computed_at_most_once_a_minute(service_setup: ServiceSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    service_setup.bundle_loader.bundles["bundle"] = loaded_bundle(service_setup.inspector, reference=REFERENCE)

    async def run() -> None:
        async with service_setup.service() as service:
            assert service.drift() == []
            for _ in range(2):
                await service.inspect([upload(100)] * 30)
            assert service.drift() == [], "it was computed a moment ago"
            assert service_setup.log.latest_calls == 1
            monkeypatch.setattr(monitors, "_REFRESH_INTERVAL", 0.0)
            service._drift._refresh_at = 0.0
            sentences = service.drift()
            assert "100 instead of 200 grey levels" in sentences[0]
            service_setup.log.is_unavailable = True
            assert service.drift() == sentences, "the last result"

    asyncio.run(run())


@pytest.mark.parametrize("error", [AssertionError("no JPEG"), MemoryError(), ValueError("odd")])
def test_a_failure_to_encode_outputs_costs_no_verdict(
    service_setup: ServiceSetup, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(service_setup.image_store, "put_outputs", fail)

    async def run() -> None:
        async with service_setup.service() as service:
            (record,) = await service.inspect([upload(200)])
            assert (record.entry.verdict, record.entry.error) == (Verdict.DEFECT, "")

    asyncio.run(run())
