"""Which inspections are logged together."""

import threading
from queue import SimpleQueue

import pytest
from desks import PATIENCE, Ledger, upload
from logged import ENTRY

from clearcast.station.desk import booking
from clearcast.station.desk.booking import Inspected, Job, Line, book


@pytest.mark.parametrize("queued", [True, False])
def test_while_pictures_queue_what_is_finished_is_logged_together(
    queued: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booking, "_GATHER", PATIENCE)
    ledger, jobs = Ledger(), [Job(upload=upload(), at=0) for _ in range(3)]
    line: Line = SimpleQueue()

    def finish() -> None:
        for job in jobs:
            line.put(Inspected(job=job, entry=ENTRY))
            if not queued:
                job.answer.result(PATIENCE)  # nothing else is finished before it is answered
        line.put(None)

    worker = threading.Thread(target=finish)
    worker.start()
    book(line, ledger.log, queued=lambda: queued, away=lambda error: pytest.fail(str(error)))
    worker.join()
    assert [job.answer.result(timeout=0).id for job in jobs] == [1, 2, 3]
    assert [len(names) for names in ledger.writes] == ([3] if queued else [1, 1, 1])
