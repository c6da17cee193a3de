import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clearcast.bundle.archive import open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.files import find_image_files
from clearcast.inference.inspector import Inspector
from clearcast.inference.sources.item import make_file_item
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.records import InspectionFilter, InspectionRecord
from clearcast.station.service import ImageUpload, InspectionService, ServiceUnavailable
from clearcast.station.service import queue as desk_module
from clearcast.types import Inspection
from tests.station.services import until


@pytest.fixture
def log(tmp_path: Path) -> Iterator[InspectionLog]:
    opened = open_log(tmp_path / "log.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def pictures(noisy_folder: Path) -> list[Path]:
    return find_image_files(noisy_folder / "With-Noise")[:6]


def uploads(pictures: list[Path]) -> list[ImageUpload]:
    return [ImageUpload(data=path.read_bytes(), name=path.name) for path in pictures]


def directly(bundle: Path, path: Path) -> Inspection:
    return Inspector(open_package(bundle)).inspect(make_file_item(path, path.name), denoise=True, evidence=True)


def test_the_service_returns_and_logs_the_results_of_the_bundle(
    bundle: Path, pictures: list[Path], log: InspectionLog, tmp_path: Path
) -> None:
    shelf = ImageStore(tmp_path / "pictures")

    async def run() -> list[InspectionRecord]:
        desk = InspectionService(bundle, log=log, shelf=shelf, shadow=bundle, threads=2)
        desk.start()
        await until(lambda: desk.state().shadow is not None)
        records = await desk.inspect(uploads(pictures)) + await desk.inspect(uploads(pictures[:1]))
        assert desk.drift() == desk.drift()
        await desk.close()
        return records

    records = asyncio.run(run())
    assert {record.id: record for record in log.page(InspectionFilter()).records} == {
        record.id: record for record in records
    }
    for path, record in zip([*pictures, pictures[0]], records, strict=True):
        said, entry = directly(bundle, path), record.entry
        assert said.restored is not None
        assert said.looks
        assert (entry.verdict, entry.noise_type, entry.model) == (said.verdict, said.noise_type, said.model)
        assert (entry.sha256, entry.name, entry.error) == (said.sha256, path.name, "")
        assert entry.p_defect == pytest.approx(said.p_defect, abs=1e-5)
        assert (entry.brightness, entry.sigma) == pytest.approx((said.looks.brightness, said.looks.sigma), rel=1e-3)
        assert (entry.height, entry.width) == said.restored.shape[:2]
        assert entry.shadow
        assert entry.shadow.verdict == entry.verdict
        assert entry.shadow.p_defect == pytest.approx(entry.p_defect, abs=1e-5)
        kept = shelf.denoised(entry.sha256, entry.model)
        assert kept is not None
        assert abs(imaging.decode_image(kept, Channels.GREY).astype(int) - said.restored).mean() < 3
        assert shelf.heat(entry.sha256, entry.model)


def test_a_bundle_being_copied_is_loaded_when_it_is_complete(
    bundle: Path, pictures: list[Path], log: InspectionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_PAUSE", 0.01)
    target = tmp_path / "late"

    async def run() -> None:
        desk = InspectionService(target, log=log, shelf=ImageStore(tmp_path / "pictures"), threads=1)
        desk.start()
        await until(lambda: "late: no such folder" in desk.state().reasons[0])
        target.mkdir()
        shutil.copy(bundle / "manifest.json", target)
        await until(lambda: "is missing; copy the bundle again" in desk.state().reasons[0])
        with pytest.raises(ServiceUnavailable, match="is missing"):
            await desk.inspect(uploads(pictures))
        shutil.copytree(bundle, target, dirs_exist_ok=True)
        await until(lambda: desk.state().ready)
        assert len(await desk.inspect(uploads(pictures))) == len(pictures)
        await desk.close()

    asyncio.run(run())
    assert log.count(InspectionFilter()).inspections == len(pictures)
