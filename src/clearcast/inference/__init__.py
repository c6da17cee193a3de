"""Run a bundle: sources, inspection, results, watching, drift and alerts. It never imports torch."""
