"""What a hijacked process would try, played inside the sandbox; test_sandbox.py asks for one deed at a time."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from pathlib import Path

import numpy as np


def serve(channel, facts, deadline):
    """Do what is asked and tell how it went: "done", or the name of the error."""
    from blackbox_adapters.sandbox import confinement

    held = confinement.late(facts)
    while True:
        question, arrays = channel.receive()
        try:
            question["handles"] = [channel.outgoing.handle, channel.incoming.handle] if channel.outgoing else []
            found = DEEDS[question["deed"]](question, arrays) or {}
            told = "done"
        except OSError as error:
            found, told = {}, type(error).__name__
        if lacking := channel.needs(found):
            channel.send({"verb": "grow", "bytes": lacking})
            channel.outgoing.reach(channel.receive()[0]["bytes"])
        channel.send({"told": told, "held": held}, found)


def cut_the_shared_memory(question, _):
    for handle in question["handles"]:
        os.ftruncate(handle, 0)


def fork(*_):
    if os.fork() == 0:
        os._exit(0)


def native_socket(*_):
    if ctypes.CDLL(None, use_errno=True).socket(2, 1, 0) < 0:
        raise PermissionError


def write_a_byte(question, _):
    with open(question["path"], "wb") as file:
        file.write(b"x")


def shout(*_):
    os.write(1, b"noise" * 1000)


DEEDS = {
    "echo": lambda _, arrays: dict(arrays),
    "read": lambda question, _: {"text": np.array([Path(question["path"]).read_text(encoding="utf-8")], dtype=object)},
    "write": write_a_byte,
    "here": lambda *_: write_a_byte({"path": "x"}, None),
    "fork": fork,
    "run": lambda *_: subprocess.run(["/bin/true"], check=True) and None,
    "socket": lambda *_: socket.socket() and None,
    "native socket": native_socket,
    "see into the parent": lambda *_: Path(f"/proc/{os.getppid()}/mem").open("rb").close(),
    "cut": cut_the_shared_memory,
    "shout": shout,
    "environment": lambda *_: {"names": np.array(sorted(os.environ), dtype=object)},
}
