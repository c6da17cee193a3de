"""Study: the stages of the published report on one sheet and one split, resumable and repeatable."""

from clearcast.core.evidence_schema import parse_stages
from clearcast.study.context import StudyRequest
from clearcast.study.folds import run_cross_validation
from clearcast.study.run_tables import has_evidence_inputs, write_evidence
from clearcast.study.stage_runner import run_study
from clearcast.train.split_choice import SplitChoice, parse_split_option

__all__ = [
    "SplitChoice",
    "StudyRequest",
    "has_evidence_inputs",
    "parse_split_option",
    "parse_stages",
    "run_cross_validation",
    "run_study",
    "write_evidence",
]
