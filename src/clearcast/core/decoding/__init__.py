"""Safe decoding of untrusted image files: structure checks against decompression bombs, then pixels.

``structure`` parses headers and segment lists, never pixels, in bounded time and memory; ``pixels`` decodes. If the
structure does not bound the cost of decoding, a sandbox process with memory and time limits decodes (``isolation``).
"""
