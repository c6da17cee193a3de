"""Measure bundles on held-out images of labelled sheets: evaluate, compare, tune and benchmark."""
