"""Local engine: inspect many images on the cores of this machine, in order and in bounded memory."""

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from clearcast.domain import Inspection
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.sources import Item

_AHEAD = 2  # images in progress or waiting, for each worker

Finish = Callable[[Inspection, str], Inspection]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect(
    inspector: Inspector,
    items: Iterable[Item],
    *,
    workers: int,
    restored: bool = False,
    evidence: bool = False,
    finish: Finish | None = None,
) -> Generator[Inspection]:
    """Inspect images, several at a time; a bad image gives an inspection with an error.

    Each worker processes one image from reading to the inspection. So decoding and inference overlap, cores do not wait
    for each other within a graph, and images may differ in size. (On CPUs, batches bring no gain.)

    Args:
        inspector: uses one thread for each image.
        items: the images; read in a separate thread as they are needed, since a source may block.
        workers: how many images are processed at a time.
        restored, evidence: see ``Inspector.inspect``.
        finish: called in the worker with each inspection and its item's key; its result replaces the inspection. It may
            write the denoised image and drop it from the inspection.

    Yields:
        The inspections in the order of the items, as soon as they are ready.
    """
    slots = threading.Semaphore(_AHEAD * workers)
    futures: SimpleQueue[Future[Inspection] | None] = SimpleQueue()
    stopped = threading.Event()
    failed: list[BaseException] = []

    def work(item: Item) -> Inspection:
        inspection = inspector.inspect(item, restored=restored, evidence=evidence)
        return finish(inspection, item.key) if finish else inspection

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            for item in items:
                slots.acquire()
                if stopped.is_set():
                    break
                futures.put(pool.submit(work, item))
        except BaseException as error:  # from the source; raised again in the consumer's thread
            failed.append(error)
        futures.put(None)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
    threading.Thread(target=feed, args=(pool,), name="source", daemon=True).start()
    try:
        while future := futures.get():
            yield future.result()
            slots.release()
    finally:
        stopped.set()
        slots.release()
        pool.shutdown(cancel_futures=True)
    if failed:
        raise failed[0]
