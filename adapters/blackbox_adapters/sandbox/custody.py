"""A confined process from the outside: start it, ask it, and never be harmed by how it answers."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.errors import ModelError, RequestError
from blackbox_adapters.sandbox import watchdog
from blackbox_adapters.sandbox.bounds import Bounds
from blackbox_adapters.sandbox.frames import END, REFUSED, Channel, Garbled, new_area

BOOT = (
    "import sys, json; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from blackbox_adapters.sandbox.cell import main; main(given)"
)
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")
"""Of the environment only this goes along: a stranger's file has no use for tokens and proxies."""

Arrays = Mapping[str, np.ndarray]
Serve = Callable[[str | None], Iterator[bytes]]
"""Hands out the content of a file that the process asks for by its place; None = the main one."""


@dataclass(frozen=True)
class Child:
    """One confined process and the way to it."""

    watch: watchdog.Watch
    channel: Channel
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ask(self, question: Mapping[str, Any], arrays: Arrays | None = None, serve: Serve | None = None
            ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # fmt: skip
        """Ask once and wait for the answer, until the deadline.

        Arrays of the answer are copies of our own: the process may go on writing into its memory.

        Raises
        ------
        ModelError, RequestError : as the process tells them. ModelError : it crashed, took too much
            time or memory, or answered nonsense; it is gone then.
        """
        with self.lock:
            self.watch.begin()
            try:
                self.channel.send(question, arrays)
                answer, found = self._answer(serve)
                copies = {name: array.copy() for name, array in found.items()}
            except (Garbled, OSError, MemoryError) as error:
                raise self._dead(error) from None
            except BaseException:  # above all Ctrl-C: half a talk cannot be taken up again
                watchdog.stop(self.watch)
                raise
            finally:
                self.watch.end()
        _raise_told(answer)
        return answer, copies

    def _answer(self, serve: Serve | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give the process the room and the files that it asks for, until it answers."""
        while True:
            header, arrays = self.channel.receive()
            verb = header.get("verb")
            if verb == "grow":
                self._grow(header.get("bytes"))
            elif verb == "file" and serve is not None:
                self._hand_out(serve, header.get("location"))
            else:
                return header, arrays

    def _grow(self, wanted: object) -> None:
        area = self.channel.incoming
        if area is None or not isinstance(wanted, int) or not 0 < wanted <= self.channel.most:
            raise Garbled(f"a wish for {wanted} bytes")
        area.grow(wanted)
        self.channel.send({"verb": "grown", "bytes": area.size})

    def _hand_out(self, serve: Serve, location: object) -> None:
        if location is not None and not isinstance(location, str):
            raise Garbled("no place of a file")
        write = self.channel.write
        try:
            for piece in serve(location):
                write(len(piece).to_bytes(8, "little") + piece)
            write((0).to_bytes(8, "little"))
        except ModelError as error:
            text = error.message.encode()
            write(REFUSED.to_bytes(8, "little") + len(text).to_bytes(8, "little") + text)

    def _dead(self, error: Exception) -> ModelError:
        """Make sure that the process is gone, and say in one sentence why."""
        process, verdict = self.watch.process, self.watch.verdict
        code = process.poll() if process is not None else None
        if code is None and not verdict and not isinstance(error, Garbled):
            verdict = f"the talk with it failed ({error})"
        elif code is None and not verdict:
            code = _code_of_a_dying(process, str(error))
        verdict = self.watch.verdict or verdict or _end_of(code, str(error))
        watchdog.stop(self.watch)
        return ModelError(
            f"The model's process was given up: {verdict}. Ask for fewer rows a pass (batch size), allow it "
            "more memory or time, or do not trust this file."
        )


def _code_of_a_dying(process: Any, error: str) -> int | None:
    """The pipe closes a moment before the process has ended; a garbled frame comes from a living one."""
    if process is None or error != END:
        return None
    try:
        return int(process.wait(watchdog.PATIENCE))
    except Exception:  # it lives on with its pipe closed
        return None


def _end_of(code: int | None, error: str) -> str:
    if code is None:
        return f"it answered what is no answer ({error[:200]})"
    if code >= 0:
        return f"it ended by itself with code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    why = {"SIGXCPU": "it used up its processor time", "SIGKILL": "it was killed from outside (SIGKILL)"}
    return why.get(name, f"it crashed ({name})")


def _raise_told(answer: Mapping[str, Any]) -> None:
    """Raise the error that the process tells, as text for people and nothing else."""
    told = answer.get("error")
    if told is None:
        return
    words = " ".join(str(answer.get("message", "")).split())[:2000]
    text = "".join(sign for sign in words if sign.isprintable())
    raise RequestError(text) if told == "RequestError" else ModelError(text)


def start(serve: str, bounds: Bounds, handles: Sequence[int] = (), shared: bool = True) -> Child:
    """Start a confined process.

    Parameters
    ----------
    serve : module whose ``serve(channel)`` answers inside. handles : file descriptors it may use beside
        its own. shared : arrays travel through shared memory, where the system has it.

    Raises
    ------
    ModelError : no process can be started here.
    """
    areas = [new_area(), new_area()] if shared else [None, None]
    own = [area.handle for area in areas if area is not None]
    given = {
        "path": [os.path.abspath(entry) for entry in sys.path if entry],
        "serve": serve,
        "areas": own,
        "parent": os.getpid(),
        "most": bounds.memory,
        "deadline": bounds.deadline,
    }
    folder = tempfile.mkdtemp(prefix="blackbox-")
    command = [sys.executable, "-I", "-B", "-c", BOOT, json.dumps(given)]
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "CUDA_CACHE_DISABLE": "1", "HOME": folder}
    try:
        watch = watchdog.start(command, bounds, [*own, *handles], environment, folder)
    except OSError as error:
        raise ModelError(f"No confined process can be started here: {error.strerror or error}.") from None
    finally:
        _remove(folder)
    process = watch.process
    assert process is not None
    assert process.stdout is not None
    assert process.stdin is not None
    pipes = process.stdout.fileno(), process.stdin.fileno()
    child = Child(watch, Channel(*pipes, areas[0], areas[1], bounds.memory))
    weakref.finalize(child, _release, watch, own)
    return child


def _remove(folder: str) -> None:
    """Take the process's working folder from under it: it is empty, and nothing can be made in it."""
    with suppress(OSError):  # Windows keeps a folder that is in use
        os.rmdir(folder)


def _release(watch: watchdog.Watch, handles: Sequence[int]) -> None:
    watchdog.stop(watch)
    for handle in handles:
        os.close(handle)
