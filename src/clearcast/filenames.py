r"""File names as text that every format can hold, and back.

On POSIX systems a name is bytes. Python holds those that are not UTF-8 as lone surrogates (``surrogateescape``), which
no UTF-8 file can hold. So each surrogate is written as six characters, ``\udcff``, and a backslash that already stands
before such characters in a name as ``\u005c``. Two names never give one text, and ordinary names stay as they are.
"""

import re

_ESCAPED = re.compile(r"\\u(005c|d[89a-f][0-9a-f]{2})")
_TO_ESCAPE = re.compile(r"\\(?=u005c|ud[89a-f][0-9a-f]{2})|[\ud800-\udfff]")


def escape_name(name: str) -> str:
    r"""Text without surrogates for any file name; ``unescape_name`` gives the name back.

    >>> print(escape_name("bad\udcff.jpg"), escape_name(r"bad\udcff.jpg"), escape_name(r"a\b.jpg"))
    bad\udcff.jpg bad\u005cudcff.jpg a\b.jpg
    """
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", name)


def unescape_name(text: str) -> str:
    r"""The file name that ``escape_name`` gave a text for.

    >>> unescape_name(r"bad\u005cudcff.jpg") == r"bad\udcff.jpg"
    True
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
