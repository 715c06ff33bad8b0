"""What to do about the runtime's own errors that a person can do something about."""

from __future__ import annotations

import re

HINTS = (
    (
        r"construct locale with name:?\s*([\w.@-]+)",
        "the system lacks the locale {0} that the model's text step asks for: install it (on Debian and "
        "Ubuntu: apt-get install locales && localedef -i {1} -f UTF-8 {1}.UTF-8) or run where it exists",
    ),
    (
        r"Failed to allocate memory for requested buffer of size (\d+)",
        "it asked for a buffer of {0} bytes: give fewer rows per pass (--batch-size)",
    ),
    (
        r"indices element out of data bounds|indices must be|out of range|out of bounds",
        "an index is outside a table of the model: keep identifiers within its vocabulary, and hide them "
        "behind one that it knows (a background row with the mask or padding token's number)",
    ),
    (
        r"(?i)got invalid dimensions for input:? ?(\S*)",
        "the input's shape is not the one that the graph was exported for: see blackbox inspect",
    ),
)
"""What the runtime says, and what it means for the person who asked."""


def hint(text: str) -> str:
    """Return one sentence of advice on a runtime error, with a leading space, or an empty string.

    Examples
    --------
    >>> "localedef -i de_DE" in hint("Failed to construct locale with name:de_DE.UTF-8:locale::facet")
    True
    >>> hint("something else")
    ''
    """
    for pattern, advice in HINTS:
        if found := re.search(pattern, text):
            named = found.groups() or ("",)
            return f" That means: {advice.format(*named, named[0].split('.')[0])}."
    return ""
