"""Synthetic data: rendered parts, degraded folders, augmentation and synthetic defects."""
