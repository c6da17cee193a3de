"""Inspection station: a web page and a REST API for a bundle, with a log of every inspection. Never imports torch."""
