import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from clearcast.bundle.archive import open_package
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import PictureError, PictureFault
from clearcast.inference.inspector import Inspector, inspect_images
from clearcast.inference.sources import SourceItem
from clearcast.types import Inspection
from tests.inference.handmade import expected_p_defect, uniform_image, write_bundle


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    return Inspector(open_package(write_bundle(tmp_path_factory.mktemp("made") / "bundle")))


def square(grey: int, side: int = 16) -> ImageArray:
    return uniform_image(grey, side, side)


def item(number: int, image: ImageArray | None = None, wait: float = 0) -> SourceItem:
    def read() -> ImageArray:
        time.sleep(wait)
        return square(number % 256) if image is None else image

    return SourceItem(name=f"{number}", key=f"key-{number}", read=read)


@pytest.mark.parametrize("workers", [1, 3])
def test_inspections_come_in_the_sources_order(inspector: Inspector, workers: int) -> None:
    slow_first = [item(number, square(number, 16 + number), wait=0.02 * (number % 4 == 0)) for number in range(20)]
    inspections = list(inspect_images(inspector, slow_first, workers=workers))
    assert [each.path for each in inspections] == [f"{number}" for number in range(20)]
    expected = [expected_p_defect(square(number, 16 + number)) for number in range(20)]
    np.testing.assert_allclose(
        [each.p_defect for each in inspections if each.p_defect is not None], expected, atol=1e-5
    )


def test_a_bad_image_does_not_stop_the_others(inspector: Inspector) -> None:
    def refuse() -> bytes:
        raise PictureError(PictureFault.MISSING, "file not found")

    inspections = list(
        inspect_images(inspector, [item(0), SourceItem(name="bad", key="bad", read=refuse), item(2)], workers=2)
    )
    assert [each.error for each in inspections] == ["", "file not found", ""]


def test_an_endless_source_is_read_only_a_little_ahead(inspector: Inspector) -> None:
    read = []

    def endless() -> Iterator[SourceItem]:
        for number in itertools.count():
            read.append(number)
            yield item(number)

    inspections = inspect_images(inspector, endless(), workers=2)
    first = [next(inspections) for _ in range(30)]
    time.sleep(0.05)
    assert [each.path for each in first] == [f"{number}" for number in range(30)]
    assert len(read) <= 30 + 6
    inspections.close()
    time.sleep(0.05)
    after = len(read)
    time.sleep(0.05)
    assert len(read) == after


def test_an_inspection_does_not_wait_for_the_next_image(inspector: Inspector) -> None:
    arrived, exhausted = threading.Event(), threading.Event()

    def slow() -> Iterator[SourceItem]:
        yield item(0)
        arrived.wait(10)
        yield item(1)
        exhausted.set()

    inspections = inspect_images(inspector, slow(), workers=1)
    assert next(inspections).path == "0"
    assert not exhausted.is_set()
    arrived.set()
    assert [each.path for each in inspections] == ["1"]


def test_an_error_of_the_source_is_raised_after_the_images_before_it(inspector: Inspector) -> None:
    def broken() -> Iterator[SourceItem]:
        yield from map(item, range(5))
        raise ValueError("the camera is disconnected")

    inspections = inspect_images(inspector, broken(), workers=2)
    assert [next(inspections).path for _ in range(5)] == ["0", "1", "2", "3", "4"]
    with pytest.raises(ValueError, match="the camera is disconnected"):
        next(inspections)


def test_finish_runs_in_the_workers_and_its_errors_are_raised(inspector: Inspector) -> None:
    def finish(inspection: Inspection, key: str) -> Inspection:
        assert threading.current_thread().name.startswith("inspect")
        assert inspection.restored is not None
        if key == "key-3":
            raise OSError("no space left")
        return replace(inspection, restored=None, path=key)

    inspections = inspect_images(inspector, map(item, range(9)), workers=2, denoise=True, finish=finish)
    assert [next(inspections).path for _ in range(3)] == ["key-0", "key-1", "key-2"]
    with pytest.raises(OSError, match="no space left"):
        next(inspections)


def test_images_do_not_accumulate_in_memory(inspector: Inspector) -> None:
    """A slow consumer holds no more inspections than are in progress."""
    alive: list[int] = []
    most = 0
    lock = threading.Lock()

    def finish(inspection: Inspection, _: str) -> Inspection:
        nonlocal most
        with lock:
            alive.append(1)
            most = max(most, len(alive))
        return inspection

    for _ in inspect_images(inspector, map(item, range(40)), workers=2, denoise=True, finish=finish):
        time.sleep(0.002)
        with lock:
            alive.pop()
    assert most <= 5
