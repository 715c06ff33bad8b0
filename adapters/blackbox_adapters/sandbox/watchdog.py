"""A thread that starts a process, watches its memory and its time, and ends it when it goes too far."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blackbox_adapters.sandbox.bounds import Bounds, shown

BUSY, IDLE = 0.01, 0.2
"""Seconds between two looks. In 10 ms a core fills about 50 MiB of fresh memory, which is how far the
ceiling can be passed before the process is gone."""

LINGER = 1.0
"""Seconds after a call during which the next one is expected."""

PATIENCE = 10.0
"""Seconds to wait for the end of a process that was killed."""


@dataclass
class Watch:
    """What the thread and the caller share. ``verdict`` says why the process was ended, if it was."""

    bounds: Bounds
    process: subprocess.Popen[bytes] | None = None
    busy_since: float | None = None
    last_busy: float = 0.0
    asleep: bool = True
    stopping: bool = False
    verdict: str = ""
    error: OSError | None = None
    peak: int = 0
    started: threading.Event = field(default_factory=threading.Event, repr=False)
    wake: threading.Event = field(default_factory=threading.Event, repr=False)

    def begin(self) -> None:
        """A call begins: its time runs, and the thread looks often.

        One that looks often already is left alone: waking it would make the caller wait for the
        interpreter's lock, milliseconds for a call of microseconds.
        """
        self.busy_since = self.last_busy = time.monotonic()
        if self.asleep:
            self.wake.set()

    def end(self) -> None:
        """The call has been answered."""
        self.busy_since = None


def start(command: Sequence[str], bounds: Bounds, handles: Sequence[int], environment: dict[str, str],
          folder: str) -> Watch:  # fmt: skip
    """Start a process under watch, its input and output as pipes.

    The watching thread is the one that starts the process and lives as long as it does: Linux sends
    the signal of a parent's death when the *thread* that started a child ends.

    Raises
    ------
    OSError : the process cannot be started.
    """
    watch = Watch(bounds)

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            env=environment, pass_fds=tuple(handles), start_new_session=True, bufsize=0,
        )  # fmt: skip

    threading.Thread(target=_keep, args=(watch, spawn), name="blackbox-watchdog", daemon=True).start()
    watch.started.wait()
    if watch.error is not None:
        raise watch.error
    return watch


def stop(watch: Watch) -> None:
    """End the process, at once and for certain, and wait until it is gone; safe to call again."""
    watch.stopping = True
    process = watch.process
    if process is not None:
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # it never read what it was sent
                    pipe.close()
    watch.wake.set()


def _keep(watch: Watch, spawn: Callable[[], subprocess.Popen[bytes]]) -> None:
    try:
        watch.process = process = spawn()
    except OSError as error:
        watch.error = error
        return
    finally:
        watch.started.set()
    while process.poll() is None and not watch.stopping:
        watch.verdict = watch.verdict or _verdict(watch, process.pid)
        if watch.verdict:
            _kill(process)
            return
        _rest(watch)


def _rest(watch: Watch) -> None:
    """Wait until the next look; after a second without a call the thread rests until it is woken."""
    watch.asleep = watch.busy_since is None and time.monotonic() - watch.last_busy > LINGER
    watch.wake.wait(IDLE if watch.asleep else BUSY)
    watch.wake.clear()


def _verdict(watch: Watch, pid: int) -> str:
    """Say why the process must end, or nothing."""
    since, bounds = watch.busy_since, watch.bounds
    if since is not None and time.monotonic() - since > bounds.deadline:
        return f"it did not answer within {bounds.deadline:g} seconds"
    mine = resident(pid)
    watch.peak = max(watch.peak, mine)
    own = resident(os.getpid()) if bounds.together else 0
    if mine + own <= bounds.memory:
        return ""
    with_ours = f" beside the {shown(own)} of this process" if own else ""
    return f"it took {shown(mine)} of memory{with_ours}, more than the {shown(bounds.memory)} allowed"


def resident(pid: int) -> int:
    """Bytes of a process's memory that are in RAM; 0 where the system does not say (not Linux)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it may have started; it leads a session of its own."""
    if process.poll() is None:
        with suppress(OSError):  # it is gone already
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    process.wait(PATIENCE)
