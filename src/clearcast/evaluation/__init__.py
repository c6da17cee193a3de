"""Measures of verdicts and of pictures, and the study that reports them."""
