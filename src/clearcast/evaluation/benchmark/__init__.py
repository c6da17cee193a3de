"""Benchmark: denoisers and classifiers compared on the test subset, in quality and milliseconds."""

from clearcast.evaluation.benchmark.contenders import Denoiser, Judge, classical, parse_rivals
from clearcast.evaluation.benchmark.published import contenders_of_run
from clearcast.evaluation.benchmark.run import Benchmark, BenchmarkRequest, run_benchmark, trained_on

__all__ = [
    "Benchmark",
    "BenchmarkRequest",
    "Denoiser",
    "Judge",
    "classical",
    "contenders_of_run",
    "parse_rivals",
    "run_benchmark",
    "trained_on",
]
