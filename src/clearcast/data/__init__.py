"""Data sets: sheet, validation, groups, splits and image cache."""
