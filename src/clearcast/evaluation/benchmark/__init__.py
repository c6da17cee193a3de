"""Benchmark: denoisers and classifiers compared on the test subset, in quality and milliseconds."""

from clearcast.evaluation.benchmark.benchmark_runner import (
    BenchmarkRequest,
    BenchmarkResult,
    run_benchmark,
    was_trained_on_sheet,
)
from clearcast.evaluation.benchmark.entrants import (
    BenchmarkClassifier,
    BenchmarkDenoiser,
    classical_baselines,
    load_study_entrants,
    parse_baselines,
)

__all__ = [
    "BenchmarkClassifier",
    "BenchmarkDenoiser",
    "BenchmarkRequest",
    "BenchmarkResult",
    "classical_baselines",
    "load_study_entrants",
    "parse_baselines",
    "run_benchmark",
    "was_trained_on_sheet",
]
