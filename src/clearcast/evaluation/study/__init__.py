"""Study: the stages of the published report on one sheet and one split, resumable and repeatable."""

from clearcast.evaluation.stage import Stage, parse_stages
from clearcast.evaluation.study.dividing import SplitChoice, SplitKind, parse_split
from clearcast.evaluation.study.evidence import can_be_weighed, write_evidence
from clearcast.evaluation.study.folds import run_folds
from clearcast.evaluation.study.request import StudyRequest
from clearcast.evaluation.study.run import run_study

__all__ = [
    "SplitChoice",
    "SplitKind",
    "Stage",
    "StudyRequest",
    "can_be_weighed",
    "parse_split",
    "parse_stages",
    "run_folds",
    "run_study",
    "write_evidence",
]
