import asyncio
import threading
from pathlib import Path

import pytest

from clearcast.inference.drift_statistics import DriftReference
from clearcast.station.image_store import ImageStore, StoreUnavailable
from clearcast.station.records import InspectionEntry, InspectionRecord, ShadowResult
from clearcast.station.service import ImageUpload, InspectionService, ServiceUnavailable
from clearcast.station.service import monitors as drifting_module
from clearcast.station.service import queue as desk_module
from clearcast.station.service.state import LOG_UNAVAILABLE_MESSAGE
from clearcast.types import Verdict
from tests.station.services import Bright, Scene, loaded, picture, scene_in, until, upload


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return scene_in(tmp_path, monkeypatch)


def test_a_missing_bundle_is_reported_and_loaded_when_it_appears(scene: Scene) -> None:
    bundle = scene.shop.there.pop("bundle")

    async def run() -> None:
        async with scene.desk(ready=False) as desk:
            await until(lambda: len(scene.shop.tried) > 2)
            state = desk.state()
            assert (state.ready, state.model, state.manifest) == (False, None, None)
            assert state.reasons == ("bundle: no such folder or file; expected a bundle",), "no folder names"
            with pytest.raises(ServiceUnavailable, match="bundle: no such folder"):
                await desk.inspect([upload()])
            assert desk.drift() == []
            scene.shop.there["bundle"] = bundle
            await until(lambda: desk.state().ready)
            assert len(await desk.inspect([upload()])) == 1

    asyncio.run(run())


def test_uploads_are_refused_while_the_bundle_is_loading(scene: Scene) -> None:
    desk = InspectionService(scene.folder / "bundle", log=scene.ledger.log, shelf=scene.shelf)
    assert desk.state().reasons == ("the bundle bundle is being loaded",)
    with pytest.raises(ServiceUnavailable, match="is being loaded"):
        asyncio.run(desk.inspect([upload()]))


@pytest.mark.parametrize("damage", ["no manifest", "other bytes"])
def test_a_damaged_bundle_is_reported(
    scene: Scene, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    if damage == "no manifest":
        (tmp_path / "bundle").mkdir()
    else:
        (tmp_path / "bundle").write_bytes(b"no zip")

    async def run() -> None:
        async with scene.desk(ready=False) as desk:
            await until(lambda: "loaded" not in desk.state().reasons[0])
            assert "bundle: n" in desk.state().reasons[0]
            assert str(tmp_path) not in desk.state().reasons[0]

    asyncio.run(run())


def test_an_unavailable_log_is_reported_and_recovers(scene: Scene) -> None:
    async def run() -> None:
        async with scene.desk() as desk:
            scene.ledger.away = True
            with pytest.raises(ServiceUnavailable, match="the log cannot be reached"):
                await desk.inspect([upload(1, "a"), upload(1, "b")])
            assert desk.state().reasons == (LOG_UNAVAILABLE_MESSAGE,), "no database names"
            asked = len(scene.inspector.asked)
            with pytest.raises(ServiceUnavailable, match="the log cannot be reached"):
                await desk.inspect([upload(1, "c")])
            assert len(scene.inspector.asked) == asked, "refused before the inspection"
            assert not scene.ledger.entries
            scene.ledger.away = False
            await until(lambda: desk.state().ready)
            assert len(await desk.inspect([upload(1, "d")])) == 1

    asyncio.run(run())
    assert [entry.name for entry in scene.ledger.entries] == ["d"]


def test_the_log_is_probed_until_it_recovers_after_any_error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no such table")

    async def run() -> None:
        async with scene.desk() as desk:
            with monkeypatch.context() as context:
                context.setattr(scene.ledger, "check_writable", broken)
                context.setattr(scene.ledger, "write", scene.ledger.refuse)
                with pytest.raises(ServiceUnavailable):
                    await desk.inspect([upload()])
                await until(lambda: desk.state().reasons == ("the log fails",))
            await until(lambda: desk.state().ready)

    asyncio.run(run())


def test_an_unavailable_image_store_is_reported_and_recovers(scene: Scene) -> None:
    pictures, away = scene.folder / "pictures", scene.folder / "away"

    async def run() -> None:
        async with scene.desk() as desk:
            pictures.rename(away)
            with pytest.raises(ServiceUnavailable, match="images cannot be stored"):
                await desk.inspect([upload(1), upload(2)])
            assert not scene.ledger.entries
            assert "images cannot be stored" in desk.state().reasons[0]
            away.rename(pictures)
            await until(lambda: desk.state().ready)
            assert len(await desk.inspect([upload(3)])) == 1

    asyncio.run(run())
    assert len(scene.ledger.entries) == 1


def test_a_disk_full_at_the_denoised_image_is_reported(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        async with scene.desk() as desk:
            monkeypatch.setattr("clearcast.station.image_store.imaging.encode", full)
            data = picture_of(7)
            with pytest.raises(ServiceUnavailable, match="No space left"):
                await desk.inspect([ImageUpload(data=data, name="a")])
            monkeypatch.undo()
            await until(lambda: desk.state().ready)
            assert len(await desk.inspect([upload(3)])) == 1

    picture_of = {7: picture(7)}.__getitem__
    asyncio.run(run())
    assert len(scene.ledger.entries) == 1


def test_a_hanging_disk_does_not_block_closing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "_SHUTDOWN_TIMEOUT", 0.1)
    monkeypatch.setattr(desk_module, "_PAUSE", 0.1)
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object) -> str:
        begun.set()
        go_on.wait(60)
        ended.set()
        raise StoreUnavailable("the drive is gone")

    async def run() -> None:
        async with scene.desk() as desk:
            monkeypatch.setattr(ImageStore, "put", hang)
            inspected = asyncio.create_task(desk.inspect([upload(1)]))
            await until(begun.is_set)
        assert not ended.is_set()
        assert all(thread.daemon for thread in threading.enumerate() if thread.name in {"disk", "inspect", "log"})
        go_on.set()
        with pytest.raises(ServiceUnavailable):
            await inspected

    asyncio.run(run())


def test_an_entry_that_the_log_rejects_does_not_affect_others(scene: Scene) -> None:
    scene.ledger.refused = {"odd"}

    async def run() -> None:
        async with scene.desk() as desk:
            scene.ledger.open.clear()
            first = asyncio.create_task(desk.inspect([upload(1, "first")]))
            await until(lambda: bool(scene.ledger.writes))
            good = [asyncio.create_task(desk.inspect([upload(1, name)])) for name in ("a", "b")]
            odd = asyncio.create_task(desk.inspect([upload(1, "odd")]))
            await until(lambda: desk._finished.qsize() == 3)
            scene.ledger.open.set()
            assert [record.entry.name for task in (first, *good) for record in await task] == ["first", "a", "b"]
            with pytest.raises(ServiceUnavailable, match="could not be logged"):
                await odd
            assert desk.state().ready

    asyncio.run(run())
    assert {entry.name for entry in scene.ledger.entries} == {"first", "a", "b"}


def test_a_bug_is_raised_and_the_next_image_is_inspected(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with scene.desk(threads=1) as desk:
            with monkeypatch.context() as context:
                context.setattr(scene.shelf, "put", lambda _: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    await desk.inspect([upload()])
            assert len(await desk.inspect([upload()])) == 1
            await until(lambda: desk.state().waiting == 0)

    asyncio.run(run())


def opinion(scene: Scene, name: str = "part.png", data: bytes | None = None) -> InspectionEntry:
    """Return the entry of an image after the shadow bundle was tried."""

    async def run() -> InspectionRecord:
        async with scene.desk(shadow=scene.folder / "shadow") as desk:
            await until(lambda: "shadow" in scene.shop.tried and "is being" not in desk.state().shadow_fault)
            (record,) = await desk.inspect([ImageUpload(data=data or picture(100), name=name)])
            return record

    return asyncio.run(run()).entry


def test_the_shadow_bundle_gives_a_result_and_no_verdict(scene: Scene) -> None:
    scene.shop.there["shadow"] = loaded(Bright(name="shadow 1", threshold=0.1))
    entry = opinion(scene)
    assert (entry.verdict, entry.model) == (Verdict.OK, "bright 12345678")
    assert entry.shadow == ShadowResult(model="shadow 1", verdict=Verdict.DEFECT, p_defect=100 / 255, threshold=0.1)


def test_a_missing_shadow_bundle_does_not_affect_answers(scene: Scene) -> None:
    entry = opinion(scene)
    assert (entry.verdict, entry.error) == (Verdict.OK, "")
    reason = "shadow: no such folder or file; expected a bundle"
    assert entry.shadow == ShadowResult(model="shadow", verdict=None, p_defect=None, threshold=None, error=reason)


def test_a_failing_shadow_bundle_does_not_affect_answers(scene: Scene) -> None:
    scene.shop.there["shadow"] = loaded(Bright(name="shadow 1", fails={"part.png": RuntimeError("no")}))
    entry = opinion(scene)
    assert (entry.verdict, entry.error) == (Verdict.OK, "")
    assert entry.shadow
    assert entry.shadow.verdict is None
    assert "could not be inspected (RuntimeError)" in entry.shadow.error


def test_the_shadow_bundle_does_not_inspect_undecodable_files(scene: Scene) -> None:
    shadow = Bright(name="shadow 1")
    scene.shop.there["shadow"] = loaded(shadow)
    entry = opinion(scene, data=b"no picture")
    assert entry.shadow
    assert entry.shadow.error == entry.error != ""
    assert not shadow.asked


REFERENCE: DriftReference = {
    "pictures": "test",
    "numbers": {
        "brightness": {"count": 100, "quantiles": [190, 192, 194, 198, 200, 202, 206, 208, 210]},
        "sharpness": {"count": 100, "quantiles": [1.0] * 9},
    },
    "noise_types": {"none": 1.0},
    "verdicts": {},
}


def test_drift_is_computed_at_most_once_a_minute(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.shop.there["bundle"] = loaded(scene.inspector, reference=REFERENCE)

    async def run() -> None:
        async with scene.desk() as desk:
            assert desk.drift() == []
            for _ in range(2):
                await desk.inspect([upload(100)] * 30)
            assert desk.drift() == [], "it was computed a moment ago"
            assert scene.ledger.looked == 1
            monkeypatch.setattr(drifting_module, "_REFRESH_INTERVAL", 0.0)
            desk._drift._refresh_at = 0.0
            told = desk.drift()
            assert "100 instead of 200 grey levels" in told[0]
            scene.ledger.away = True
            assert desk.drift() == told, "the last result"

    asyncio.run(run())


@pytest.mark.parametrize("error", [AssertionError("no JPEG"), MemoryError(), ValueError("odd")])
def test_a_failure_to_encode_outputs_costs_no_verdict(
    scene: Scene, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(scene.shelf, "put_outputs", fail)

    async def run() -> None:
        async with scene.desk() as desk:
            (record,) = await desk.inspect([upload(200)])
            assert (record.entry.verdict, record.entry.error) == (Verdict.DEFECT, "")

    asyncio.run(run())
