"""Clearcast inspects parts from noisy pictures."""

__version__ = "0.1.0"
