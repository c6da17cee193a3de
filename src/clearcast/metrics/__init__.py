"""Measures of classification and image quality, and the study that reports them."""
