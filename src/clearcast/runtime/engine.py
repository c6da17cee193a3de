"""Inspect many pictures on the cores of this machine, in order and in bounded memory."""

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from clearcast.domain import Inspection
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.sources import Item

_AHEAD = 2  # pictures under way or waiting for their turn, for each worker

Finish = Callable[[Inspection, str], Inspection]


def cores() -> int:
    """How many cores this process may use."""
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
    """Inspect pictures, several at a time; a bad picture is an inspection with an error.

    Each worker takes one picture from reading to the inspection. So decoding and inference overlap, no two cores wait
    for each other within a graph, and pictures need not be of one size. (Graphs gain nothing from batches on CPUs.)

    Args:
        inspector: asks the graphs; made for one thread a picture.
        items: pictures; taken as they are needed, in a thread of their own, since a source may keep one waiting.
        workers: how many pictures are worked on at a time.
        restored, evidence: see ``Inspector.inspect``.
        finish: called in the worker with each inspection and its item's key; what it returns takes the inspection's
            place. It may write the restored picture and leave it out of what it returns.

    Yields:
        The inspections, in the order of the items, as soon as they are known.
    """
    room = threading.Semaphore(_AHEAD * workers)
    line: SimpleQueue[Future[Inspection] | None] = SimpleQueue()
    over = threading.Event()
    failed: list[BaseException] = []

    def work(item: Item) -> Inspection:
        inspection = inspector.inspect(item, restored=restored, evidence=evidence)
        return finish(inspection, item.key) if finish else inspection

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            for item in items:
                room.acquire()
                if over.is_set():
                    break
                line.put(pool.submit(work, item))
        except BaseException as error:  # the source's; raised anew where the inspections are taken
            failed.append(error)
        line.put(None)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
    threading.Thread(target=feed, args=(pool,), name="source", daemon=True).start()
    try:
        while future := line.get():
            yield future.result()
            room.release()
    finally:
        over.set()
        room.release()
        pool.shutdown(cancel_futures=True)
    if failed:
        raise failed[0]
