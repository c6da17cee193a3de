"""How sure a figure is where several images show one part: resampled parts, intervals, tests, calibration."""
