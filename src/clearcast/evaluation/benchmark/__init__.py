"""Benchmark: denoisers and classifiers compared on the test subset, in quality and milliseconds."""
