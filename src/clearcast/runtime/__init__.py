"""Inference with a bundle: package, model, inspector, engines, sources and sinks; never imports torch."""
