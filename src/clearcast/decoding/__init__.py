"""Decoding of picture files, whoever made them: what a file's structure says first, and its pixels only then.

``structure`` reads headers and lists, never pixels, in time and memory that are bounded; ``pixels`` decodes. What its
structure does not bound is decoded in a process of its own, with a limit of memory and of time (``isolation``).
"""
