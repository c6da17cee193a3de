"""The study: the report's stages on one sheet and one split, each done once, resumed, or repeated."""

from clearcast.evaluation.study.run import StudyRequest, run_study
from clearcast.evaluation.study.stage import Stage, parse_stages

__all__ = ["Stage", "StudyRequest", "parse_stages", "run_study"]
