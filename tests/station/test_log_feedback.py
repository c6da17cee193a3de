from dataclasses import replace

import pytest

from clearcast.station.log import InspectionLog
from clearcast.station.records import Disagreement, Feedback, FeedbackLabel, InspectionFilter
from clearcast.types import Verdict
from tests.station.logged import ENTRY, UNREADABLE, said

NONE, OPEN, SETTLED = Disagreement.NONE, Disagreement.OPEN, Disagreement.SETTLED


@pytest.mark.parametrize(
    ("verdict", "says", "state"),
    [
        (Verdict.OK, FeedbackLabel.OK, NONE),
        (Verdict.OK, FeedbackLabel.DEFECT, OPEN),
        (Verdict.OK, FeedbackLabel.BAD_PICTURE, OPEN),
        (Verdict.DEFECT, FeedbackLabel.OK, OPEN),
        (Verdict.DEFECT, FeedbackLabel.DEFECT, NONE),
        (Verdict.DEFECT, FeedbackLabel.BAD_PICTURE, OPEN),
        (Verdict.RETAKE, FeedbackLabel.OK, NONE),
        (Verdict.RETAKE, FeedbackLabel.DEFECT, NONE),
        (Verdict.RETAKE, FeedbackLabel.BAD_PICTURE, OPEN),
        (None, FeedbackLabel.OK, NONE),
        (None, FeedbackLabel.DEFECT, NONE),
        (None, FeedbackLabel.BAD_PICTURE, NONE),
    ],
)
def test_feedback_against_the_verdict_opens_a_disagreement(
    log: InspectionLog, verdict: Verdict | None, says: FeedbackLabel, state: Disagreement
) -> None:
    [number] = log.write([replace(ENTRY, verdict=verdict)])

    record = log.add_feedback(number, said(says))

    assert record
    assert record.disagreement is state


YES, NO, UNSURE = said(FeedbackLabel.DEFECT), said(FeedbackLabel.OK), said(FeedbackLabel.BAD_PICTURE)
FINAL_YES, FINAL_NO = said(FeedbackLabel.DEFECT, settles=True), said(FeedbackLabel.OK, settles=True)


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
    log: InspectionLog, words: list[Feedback], state: Disagreement
) -> None:
    [number] = log.write([ENTRY])

    for word in words:
        record = log.add_feedback(number, word)

    assert record
    assert record.feedback == tuple(words)
    assert record.disagreement is state
    assert record.entry == ENTRY
    assert log.record(number) == record
    assert log.count(InspectionFilter()).disagreements == (state is not NONE)


def test_inspections_without_a_verdict_accept_feedback(log: InspectionLog) -> None:
    [number] = log.write([UNREADABLE])

    record = log.add_feedback(number, UNSURE)

    assert record
    assert record.entry == UNREADABLE
    assert log.count(InspectionFilter(feedback=True, verdicts=frozenset({None}))).inspections == 1
