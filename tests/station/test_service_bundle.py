"""The inspection service with a real bundle."""

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
from clearcast.station.service import queue as queue_module
from clearcast.types import Inspection
from tests.station.services import wait_until


@pytest.fixture
def log(tmp_path: Path) -> Iterator[InspectionLog]:
    opened = open_log(tmp_path / "log.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def image_paths(noisy_folder: Path) -> list[Path]:
    return find_image_files(noisy_folder / "With-Noise")[:6]


def uploads(image_paths: list[Path]) -> list[ImageUpload]:
    return [ImageUpload(data=path.read_bytes(), name=path.name) for path in image_paths]


def inspect_directly(bundle: Path, path: Path) -> Inspection:
    return Inspector(open_package(bundle)).inspect(make_file_item(path, path.name), denoise=True, evidence=True)


def test_the_service_returns_and_logs_the_results_of_the_bundle(
    bundle: Path, image_paths: list[Path], log: InspectionLog, tmp_path: Path
) -> None:
    image_store = ImageStore(tmp_path / "pictures")

    async def run() -> list[InspectionRecord]:
        service = InspectionService(bundle, log=log, image_store=image_store, shadow=bundle, threads=2)
        service.start()
        await wait_until(lambda: service.state().shadow is not None)
        records = await service.inspect(uploads(image_paths)) + await service.inspect(uploads(image_paths[:1]))
        assert service.drift() == service.drift()
        await service.close()
        return records

    records = asyncio.run(run())
    assert {record.id: record for record in log.page(InspectionFilter()).records} == {
        record.id: record for record in records
    }
    for path, record in zip([*image_paths, image_paths[0]], records, strict=True):
        expected, entry = inspect_directly(bundle, path), record.entry
        assert expected.restored is not None
        assert expected.looks
        assert (entry.verdict, entry.noise_type, entry.model) == (expected.verdict, expected.noise_type, expected.model)
        assert (entry.sha256, entry.name, entry.error) == (expected.sha256, path.name, "")
        assert entry.p_defect == pytest.approx(expected.p_defect, abs=1e-5)
        assert (entry.brightness, entry.sigma) == pytest.approx(
            (expected.looks.brightness, expected.looks.sigma), rel=1e-3
        )
        assert (entry.height, entry.width) == expected.restored.shape[:2]
        assert entry.shadow
        assert entry.shadow.verdict == entry.verdict
        assert entry.shadow.p_defect == pytest.approx(entry.p_defect, abs=1e-5)
        stored = image_store.denoised(entry.sha256, entry.model)
        assert stored is not None
        assert abs(imaging.decode_image(stored, Channels.GREY).astype(int) - expected.restored).mean() < 3
        assert image_store.heat(entry.sha256, entry.model)


def test_a_bundle_being_copied_is_loaded_when_it_is_complete(
    bundle: Path, image_paths: list[Path], log: InspectionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "_RETRY_INTERVAL", 0.01)
    target = tmp_path / "late"

    async def run() -> None:
        service = InspectionService(target, log=log, image_store=ImageStore(tmp_path / "pictures"), threads=1)
        service.start()
        await wait_until(lambda: "late: no such folder" in service.state().reasons[0])
        target.mkdir()
        shutil.copy(bundle / "manifest.json", target)
        await wait_until(lambda: "is missing; copy the bundle again" in service.state().reasons[0])
        with pytest.raises(ServiceUnavailable, match="is missing"):
            await service.inspect(uploads(image_paths))
        shutil.copytree(bundle, target, dirs_exist_ok=True)
        await wait_until(lambda: service.state().ready)
        assert len(await service.inspect(uploads(image_paths))) == len(image_paths)
        await service.close()

    asyncio.run(run())
    assert log.count(InspectionFilter()).inspections == len(image_paths)
