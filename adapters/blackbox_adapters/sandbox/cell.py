"""The first thing that runs in a confined process: confine, then import, then answer."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from blackbox_adapters.sandbox import confinement


def main(given: Mapping[str, Any]) -> None:
    """Confine this process and serve until the other end is gone.

    Parameters
    ----------
    given : what ``custody.start`` passes: ``serve``, the module that answers; ``areas``, descriptors
        of shared memory; ``parent``, ``most`` and ``deadline``.
    """
    facts = confinement.early(given)
    reader, writer = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what a library prints must not end up in the talk
        os.dup2(nothing, stream)
    threading.Thread(target=_leave_with, args=(writer,), daemon=True).start()
    from blackbox_adapters.sandbox.frames import Area, Channel, Garbled

    theirs, ours = (Area(handle) for handle in given["areas"]) if given["areas"] else (None, None)
    channel = Channel(reader, writer, ours, theirs, given["most"])
    facts["arrays_travel_in"] = "shared memory" if given["areas"] else "the pipe"
    try:
        importlib.import_module(given["serve"]).serve(channel, facts, given["deadline"])
    except (Garbled, BrokenPipeError):
        sys.exit(0)  # the other end is gone, and with it every reason to be here


def _leave_with(writer: int) -> None:
    """End the process when the other end closes its pipe, even in the middle of a long pass."""
    import select

    if not hasattr(select, "poll"):
        return
    watch = select.poll()
    watch.register(writer, 0)  # no event is asked for: an error or a hang-up is always told
    watch.poll()
    os._exit(0)
