"""Evidence of a run, made from its tables alone: confidence intervals, comparisons, thresholds, robustness."""
