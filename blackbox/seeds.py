"""Random streams that come from names, never from the order of calls."""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from blackbox.errors import RequestError


def resolve(seed: int | None) -> int:
    """Return the seed itself, or fresh entropy (to be recorded) for None."""
    if seed is None:
        return secrets.randbits(32)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise RequestError(f"seed must be a whole number from 0 up, or None; got {seed!r}.")
    return int(seed)


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the stream that belongs to a seed and a path of names.

    Equal arguments give equal streams in every process, so one case of an audit
    that is run again alone draws what it drew before.

    Examples
    --------
    >>> a, b = generator(7, "kernelshap", 12), generator(7, "kernelshap", 12)
    >>> bool(a.random() == b.random())
    True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=_words(names)))


def _words(names: tuple[str | int, ...]) -> tuple[int, ...]:
    digests = (hashlib.sha256(str(name).encode()).digest() for name in names)
    return tuple(int.from_bytes(digest[:4], "big") for digest in digests)
