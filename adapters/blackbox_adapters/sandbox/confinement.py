"""What a process takes from itself before it touches a stranger's file, and the record of what held.

It imports nothing that starts a thread: a process with threads cannot leave its network. What the
system does not offer is recorded as not enforced.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from blackbox_adapters.sandbox import syscalls

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SOCKETS = ("socket.", "http.", "urllib.", "ftplib.", "smtplib.", "ssl.")
SLACK = 30
"""Seconds of processor time beside those of the call, for Python itself."""


def early(given: Mapping[str, Any]) -> dict[str, Any]:
    """Confine what can be confined before anything large is imported; return what holds.

    Parameters
    ----------
    given : ``parent``, its process id, and ``deadline``, the seconds of one call.
    """
    facts = {
        "new_privileges": "none" if _prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1) else "not enforced",
        "dies_with_its_parent": _follow(given["parent"]),
        "network": _leave_network(),
        "working_folder": _folder(),
    }
    _first_to_go()
    return facts | _limits()


def late(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Confine the rest, after libraries and devices have been opened; return all that holds."""
    if sys.platform != "linux":
        return {
            **facts,
            "system_calls": "not enforced: not Linux",
            "files": "not enforced: not Linux",
        }
    prefixes = (sys.prefix, sys.base_prefix, *sys.path, *os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    fenced = syscalls.fence_files([folder for folder in prefixes if folder])
    filtered = syscalls.filter_calls()
    network = facts["network"]
    if network.startswith("refused by Python") and filtered.startswith("filtered"):
        network = "no socket can be opened (system-call filter)"
    return {**facts, "network": network, "system_calls": filtered, "files": fenced}


def renew_time(deadline: float) -> None:
    """Allow the processor time of one more call on all cores, beside what has been used."""
    if sys.platform != "win32":
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        seconds = math.ceil(used + deadline * (os.cpu_count() or 1)) + SLACK
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        seconds = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def _prctl(what: int, value: int) -> bool:
    return sys.platform == "linux" and syscalls.call("prctl", what, value, 0, 0, 0) == 0


def _follow(parent: int) -> str:
    """End when the parent ends, even inside a call."""
    held = _prctl(syscalls.PR_SET_PDEATHSIG, int(signal.SIGTERM) if sys.platform == "win32" else 9)
    if held and os.getppid() not in (parent, 0):
        sys.exit(1)  # it ended before the signal was asked for
    return "by signal" if held else "at its next look at the pipe"


def _leave_network() -> str:
    """Move to a network of one's own without any device; else refuse sockets to Python code."""
    if sys.platform == "linux":
        for flags in (CLONE_NEWUSER | CLONE_NEWNET, CLONE_NEWNET):
            if syscalls.call("unshare", flags) == 0:
                return "none (own network namespace)"
    sys.addaudithook(_refuse_sockets)
    return "refused by Python (socket hook); native code is not held"


def _refuse_sockets(event: str, _: object) -> None:
    if event.startswith(SOCKETS) or event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        raise PermissionError("A model has no business with the network.")


def _folder() -> str:
    """The parent removes the folder; until it has, the folder is empty and read-only."""
    return "removed: nothing can be made in it" if sys.platform != "win32" else "empty"


def _first_to_go() -> None:
    """Ask the kernel to end this process first when the machine runs out of memory."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


def _limits() -> dict[str, Any]:
    """Set resource limits; an address-space limit is none of them, because it breaks CUDA."""
    if sys.platform == "win32":
        return {"file_size": "not enforced", "core_dumps": "not enforced", "processor_time": "not enforced"}
    import resource

    def limit(kind: int, value: int, words: str) -> str:
        return words if _holds(lambda: resource.setrlimit(kind, (value, value))) else "not enforced"

    return {
        "file_size": limit(resource.RLIMIT_FSIZE, 0, "0 bytes"),
        "core_dumps": limit(resource.RLIMIT_CORE, 0, "none"),
        "processor_time": "of one call on all cores, renewed with every call",
    }


def _holds(act: Callable[[], None]) -> bool:
    try:
        act()
    except (OSError, ValueError):
        return False
    return True
