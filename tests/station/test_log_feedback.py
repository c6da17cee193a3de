from dataclasses import replace

import pytest
from logged import ENTRY, UNREADABLE, said

from clearcast.domain import Verdict
from clearcast.station.log import Log
from clearcast.station.records import Disagreement, Feedback, Says, Wanted

NONE, OPEN, SETTLED = Disagreement.NONE, Disagreement.OPEN, Disagreement.SETTLED


@pytest.mark.parametrize(
    ("verdict", "says", "state"),
    [
        (Verdict.OK, Says.OK, NONE),
        (Verdict.OK, Says.DEFECT, OPEN),
        (Verdict.OK, Says.BAD_PICTURE, OPEN),
        (Verdict.DEFECT, Says.OK, OPEN),
        (Verdict.DEFECT, Says.DEFECT, NONE),
        (Verdict.DEFECT, Says.BAD_PICTURE, OPEN),
        (Verdict.RETAKE, Says.OK, NONE),
        (Verdict.RETAKE, Says.DEFECT, NONE),
        (Verdict.RETAKE, Says.BAD_PICTURE, OPEN),
        (None, Says.OK, NONE),
        (None, Says.DEFECT, NONE),
        (None, Says.BAD_PICTURE, NONE),
    ],
)
def test_feedback_against_the_verdict_opens_a_disagreement(
    log: Log, verdict: Verdict | None, says: Says, state: Disagreement
) -> None:
    [number] = log.write([replace(ENTRY, verdict=verdict)])

    record = log.add_feedback(number, said(says))

    assert record
    assert record.disagreement is state


YES, NO, UNSURE = said(Says.DEFECT), said(Says.OK), said(Says.BAD_PICTURE)
FINAL_YES, FINAL_NO = said(Says.DEFECT, settles=True), said(Says.OK, settles=True)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ([NO, YES], NONE),  # the last word counts
        ([YES, NO], OPEN),
        ([NO, UNSURE, NO], OPEN),
        ([NO, FINAL_NO], SETTLED),
        ([NO, FINAL_YES], SETTLED),
        ([FINAL_NO], SETTLED),
        ([FINAL_YES], NONE),  # there was nothing to settle
        ([YES, FINAL_YES], NONE),
        ([NO, FINAL_NO, FINAL_YES], SETTLED),
        ([NO, FINAL_NO, NO], OPEN),  # somebody takes it up again
        ([NO, FINAL_NO, YES], NONE),
    ],
)
def test_the_latest_feedback_decides_the_disagreement_state(
    log: Log, words: list[Feedback], state: Disagreement
) -> None:
    [number] = log.write([ENTRY])

    for word in words:
        record = log.add_feedback(number, word)

    assert record
    assert record.feedback == tuple(words)
    assert record.disagreement is state
    assert record.entry == ENTRY
    assert log.record(number) == record
    assert log.count(Wanted()).disagreements == (state is not NONE)


def test_inspections_without_a_verdict_accept_feedback(log: Log) -> None:
    [number] = log.write([UNREADABLE])

    record = log.add_feedback(number, UNSURE)

    assert record
    assert record.entry == UNREADABLE
    assert log.count(Wanted(feedback=True, verdicts=frozenset({None}))).inspections == 1
