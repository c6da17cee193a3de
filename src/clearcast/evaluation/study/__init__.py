"""The study: the report's stages on one sheet and one split, each done once, resumed, or repeated."""

from clearcast.evaluation.stage import Stage, parse_stages
from clearcast.evaluation.study.dividing import SplitChoice, SplitKind, parse_split
from clearcast.evaluation.study.run import StudyRequest, run_study

__all__ = ["SplitChoice", "SplitKind", "Stage", "StudyRequest", "parse_split", "parse_stages", "run_study"]
