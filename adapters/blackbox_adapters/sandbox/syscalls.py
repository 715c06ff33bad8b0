"""What the kernel refuses to a confined process: system calls, files and the network (Linux).

A filter of system calls (seccomp) refuses new processes, sockets and ways into other processes;
Landlock refuses every write to a file system and every read beyond the interpreter's and the system's
own folders. Both hold for good: a process cannot take them off.

References: Linux documentation, userspace-api/seccomp_filter.rst and userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Sequence

REFUSED = {
    "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "socketpair": 53, "fork": 57,
    "vfork": 58, "execve": 59, "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166,
    "init_module": 175, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
    "accept4": 288, "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "kexec_file_load": 320, "bpf": 321, "execveat": 322, "userfaultfd": 323, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "pidfd_getfd": 438,
}  # fmt: skip
"""Numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl); no other machine's have been tried."""

CLONE, CLONE3, CLONE_THREAD = 56, 435, 0x10000
X86_64, X32 = 0xC000003E, 0x40000000
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, MACHINE_AT, FIRST_ARGUMENT_AT = 0, 4, 16

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 1, 22, 38, 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, PATH_BENEATH, ASK_VERSION = 444, 445, 446, 1, 1
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))
BY_VERSION = {2: 1 << 13, 3: 1 << 14}
"""Moving a file to another folder, and cutting one, were added to the rules later."""

SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/opt")


def call(name: str, *arguments: int) -> int:
    """Call a function of the C library with whole numbers; -1 where it fails or is not there."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    return -1 if function is None else int(function(*(ctypes.c_long(value) for value in arguments)))


def filter_calls() -> str:
    """Refuse new processes, sockets and ways into other processes; return what holds now."""
    if platform.machine() != "x86_64":
        return f"not enforced: no filter has been tried on {platform.machine()}"
    program = b"".join(_program())
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    pointer = ctypes.create_string_buffer(described, len(described))
    if call("prctl", PR_SET_SECCOMP, FILTER, ctypes.addressof(pointer)) != 0:
        return "not enforced: the kernel takes no filter"
    return "filtered: no new process, no socket, no way into another process"


def _program() -> list[bytes]:
    """The filter, instruction by instruction: test, jump if true, jump if false, value."""

    def step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
        return struct.pack("HBBI", code, true, false, value)

    lines = [
        step(LOAD, MACHINE_AT),
        step(EQUAL, X86_64, 1, 0),
        step(RETURN, KILL),
        step(LOAD, NUMBER_AT),
        step(AT_LEAST, X32, 0, 1),
        step(RETURN, ERRNO | ENOSYS),
        # the C library falls back to clone, whose flags are numbers that can be looked at
        step(EQUAL, CLONE3, 0, 1),
        step(RETURN, ERRNO | ENOSYS),
    ]
    for number in REFUSED.values():
        lines += [step(EQUAL, number, 0, 1), step(RETURN, ERRNO | EPERM)]
    return [
        *lines,
        step(EQUAL, CLONE, 0, 3),
        step(LOAD, FIRST_ARGUMENT_AT),
        step(ANY_BIT, CLONE_THREAD, 1, 0),
        step(RETURN, ERRNO | EPERM),
        step(RETURN, ALLOW),
    ]


def fence_files(readable: Sequence[str]) -> str:
    """Refuse every change to files, and reading outside some folders; return what holds now.

    Parameters
    ----------
    readable : folders besides the system's own. Devices stay open to writing: a GPU is one.
    """
    version = call("syscall", CREATE_RULESET, 0, 0, ASK_VERSION)
    if version < 1:
        return "not enforced: the kernel has no Landlock"
    changes = CHANGES | sum(bit for least, bit in BY_VERSION.items() if version >= least)
    handled = changes | READ_FILE | READ_DIR
    attributes = ctypes.create_string_buffer(struct.pack("Q", handled), 8)
    rules = call("syscall", CREATE_RULESET, ctypes.addressof(attributes), 8, 0)
    if rules < 0:
        return "not enforced: the kernel takes no rules"
    for folder in dict.fromkeys((*SYSTEM, *readable)):
        _let(rules, folder, READ_FILE | READ_DIR)
    _let(rules, "/dev", WRITE_FILE)
    held = call("syscall", RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    if not held:
        return "not enforced: the kernel takes no rules"
    return "fenced: none can be changed; only the system's and the interpreter's can be read"


def _let(rules: int, folder: str, rights: int) -> None:
    try:
        handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what is not there needs no rule
        return
    if not os.path.isdir(folder):
        rights &= WRITE_FILE | READ_FILE
    rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle), 12)
    call("syscall", ADD_RULE, rules, PATH_BENEATH, ctypes.addressof(rule), 0)
    os.close(handle)
