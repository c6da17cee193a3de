r"""Reversible escaping of file names that are not valid Unicode.

On POSIX systems a name is bytes. Python represents bytes that are not UTF-8 as lone surrogates (``surrogateescape``),
which no UTF-8 file can store. Each surrogate is written as six characters, ``\udcff``, and a backslash that already
precedes such characters as ``\u005c``. Different names have different escapes, and ordinary names do not change.
"""

import re

_ESCAPED = re.compile(r"\\u(005c|d[89a-f][0-9a-f]{2})")
_TO_ESCAPE = re.compile(r"\\(?=u005c|ud[89a-f][0-9a-f]{2})|[\ud800-\udfff]")


def escape_name(name: str) -> str:
    r"""Escape a file name to text without surrogates; ``unescape_name`` is the inverse.

    >>> print(escape_name("bad\udcff.jpg"), escape_name(r"bad\udcff.jpg"), escape_name(r"a\b.jpg"))
    bad\udcff.jpg bad\u005cudcff.jpg a\b.jpg
    """
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", name)


def unescape_name(text: str) -> str:
    r"""Restore the file name that ``escape_name`` escaped.

    >>> unescape_name(r"bad\u005cudcff.jpg") == r"bad\udcff.jpg"
    True
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
