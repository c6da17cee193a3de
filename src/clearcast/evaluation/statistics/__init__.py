"""Statistics of grouped test images: cluster bootstrap, confidence intervals, significance, calibration."""
