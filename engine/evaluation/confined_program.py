"""What runs in the process that runs a model's code: it gives up nearly all it may do, then runs code and tests.

Run by `code_running` as a file: `python -I -S -B confined_program.py FOLDER`, with nothing but the standard library at
hand. FOLDER/job.json holds code, tests and limits; then the folder is empty. Lines of the result begin with a mark that
the code is not told. Linux alone can take everything away; what it could not is in the first line. Not here: the limits
of time and output, which hold from outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIGKILL = 9
# AUDIT_ARCH of the processor, then the numbers of system calls that reach the network (socket, socketpair,
# io_uring_setup), start processes (clone, fork, vfork, clone3), reach others (kill, tkill, tgkill, the two
# rt_*sigqueueinfo, pidfd_open, pidfd_send_signal, ptrace, process_vm_readv and _writev) or undo what is taken here
# (mount, unshare, setns, bpf, prlimit64).
DENIED = {
    "x86_64": (
        0xC000003E,
        (41, 53, 425, 56, 57, 58, 435, 62, 200, 234, 129, 297, 434, 424, 101, 310, 311, 165, 272, 308, 321, 302),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 199, 425, 220, 435, 129, 130, 131, 138, 240, 434, 424, 117, 270, 271, 40, 97, 268, 280, 261),
    ),
}
SECCOMP_ALLOW, SECCOMP_EPERM, SECCOMP_KILL = 0x7FFF0000, 0x00050001, 0x80000000
# Numbers and bits of Landlock (linux/landlock.h); they are the same on every processor.
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
FILE_RIGHTS_BY_VERSION = (13, 14, 15, 15, 16)
"""How many kinds of access to files each version of Landlock knows, from version 1 on."""
READABLE = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom")


class Refused(Exception):  # noqa: N818 - a step that this machine does not offer, no fault
    """The kernel does not offer it, or not to this process."""


def confine(folder: Path, limits: dict[str, int]) -> list[str]:
    """Give up what this process may do; what it may still do nevertheless: network, processes, files."""
    left = {"network", "processes", "files"}
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, most in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # no process and no thread more; the superuser is not held by it
        (resource.RLIMIT_NOFILE, 64),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
    if sys.platform != "linux":
        return sorted(left)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return sorted(left)
    steps: tuple[tuple[Callable[[], None], set[str]], ...] = (
        (lambda: _own_network(libc), {"network"}),
        (lambda: _only_files(libc, folder), {"files"}),
        (lambda: _no_calls(libc), {"network", "processes"}),
    )
    for step, taken in steps:
        with contextlib.suppress(Refused):
            step()
            left -= taken
    return sorted(left)


def _own_network(libc: Any) -> None:
    """A network of its own, in which there is nothing."""
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise Refused


def _only_files(libc: Any, folder: Path) -> None:
    """Landlock: of all files only the interpreter's can be read, and none is written; nobody is signalled."""
    version = libc.syscall(LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        raise Refused
    every = (1 << FILE_RIGHTS_BY_VERSION[min(version, len(FILE_RIGHTS_BY_VERSION)) - 1]) - 1
    rules = struct.pack("=QQQ", every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(LANDLOCK_CREATE, rules, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise Refused
    for path in (str(folder), "/dev/null", *READABLE, *_interpreter()):
        with contextlib.suppress(OSError):
            place = os.open(path, os.O_PATH)
            rights = READ_FILE | READ_FOLDER if Path(path).is_dir() else READ_FILE
            rights |= WRITE_FILE if path == "/dev/null" else 0
            libc.syscall(LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, place), 0)
            os.close(place)
    if libc.syscall(LANDLOCK_RESTRICT, ruleset, 0) != 0:
        raise Refused
    os.close(ruleset)


def _interpreter() -> Iterator[str]:
    yield str(Path(os.__file__).parent)
    yield from (path for path in sys.path if path)


def _no_calls(libc: Any) -> None:
    """seccomp: the system calls of `DENIED` fail with EPERM; those of another processor's kind end the process."""
    processor = DENIED.get(os.uname().machine)
    if processor is None or sys.maxsize < 2**32:
        raise Refused
    own, denied = processor
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, own), (give, 0, 0, SECCOMP_KILL), (load, 0, 0, 0)]
    program += [(at_least, len(denied), 0, 0x40000000)]  # x86's second numbering
    program += [(equal, len(denied) - 1 - place, 0, number) for place, number in enumerate(denied)]
    program += [(give, 0, 0, SECCOMP_ALLOW), (give, 0, 0, SECCOMP_EPERM)]
    # A match jumps over the rest and over ALLOW.
    program = [
        (code, yes + 1, no, value) if code in (equal, at_least) and value != own else (code, yes, no, value)
        for code, yes, no, value in program
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    pointer = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    if libc.prctl(PR_SET_SECCOMP, 2, pointer, 0, 0) != 0:
        raise Refused


def outcome(
    code: str,
    tests: list[str],
    exec: Any = exec,  # noqa: A002 - the builtin itself, held
    compile: Any = compile,  # noqa: A002
) -> dict[str, Any]:
    """Run the code, then every test in its names: whether all passed, and where and why not.

    What runs the tests is held as arguments: the code may put something else into `builtins`.
    """
    names: dict[str, Any] = {"__name__": "answer"}
    where = "code"
    try:
        exec(compile(code, "answer", "exec"), names)
        for number, test in enumerate(tests, start=1):
            where = f"test {number}"
            exec(compile(test, where, "exec"), names)
    except BaseException as fault:  # noqa: BLE001 - the process edge: whatever the code does is its outcome
        return {"passed": False, "where": where, "fault": _told(fault)}
    return {"passed": True, "where": "", "fault": ""}


def _told(fault: BaseException) -> str:
    """Kind and text of an exception of somebody else's class, which may do anything when asked for its text."""
    kind = type(fault).__name__
    try:
        text = str(fault)[:200]
    except BaseException:  # noqa: BLE001 - the same edge
        return kind
    return f"{kind}: {text}" if text else kind


def main() -> None:
    folder = Path(sys.argv[1])
    job_file = folder / "job.json"
    job = json.loads(job_file.read_text())
    job_file.unlink()
    os.chdir(folder)
    sys.argv[1:] = []
    mark, told = job["mark"].encode(), os.dup(1)
    write, leave, encode = os.write, os._exit, json.dumps  # the code may put something else into these modules
    left = confine(folder, job["limits"])
    write(told, b"\n" + mark + encode({"left": left}).encode() + b"\n")
    result = outcome(job["code"], job["tests"])
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    # The verdict goes out before anything that the code may have changed is asked how it failed.
    write(told, b"\n" + mark + (b"passed " if result["passed"] else b"failed "))
    write(told, encode(result).encode() + b"\n")
    leave(0)


if __name__ == "__main__":
    main()
