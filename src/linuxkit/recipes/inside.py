"""The far side of the sandbox: a program of its own, which cuts itself off and runs the steps.

Started by ``sandbox`` with a job (JSON) and a descriptor to answer on.  It imports nothing of ours
and knows no recipe.  namespaces(7), user_namespaces(7), pivot_root(2), capabilities(7), prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

USER = 1000  # who the commands are, inside
OUTSIDE = 0x6FFF_0000  # who they are outside when root starts them: nobody else has this number
_HOST = "linuxkit"
_NODES = ("null", "zero", "full", "random", "urandom")
_LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))

_NEW_USER = 0x1000_0000
# mount, pid, network, host name, IPC, control groups
_NEW_REST = 0x0002_0000 | 0x2000_0000 | 0x4000_0000 | 0x0400_0000 | 0x0800_0000 | 0x0200_0000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096
_REC, _PRIVATE, _RELATIME = 1 << 14, 1 << 18, 1 << 21
_DETACH = 2
_ST_KEEP = _NODEV | _NOSUID | _NOEXEC | 1024 | 2048  # the same numbers in statvfs(3) and mount(2)
_ST_RELATIME = 4096
_SET_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP, _SET_NO_NEW_PRIVS = 1, 4, 24, 38
_CAPABILITY_VERSION = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _unshare(flags: int) -> None:
    _checked("unshare", _libc.unshare(flags))


def _prctl(option: int, value: int) -> None:
    _checked("prctl", _libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3))


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode() or None)
    result = _libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None)
    _checked(f"mount {target}", result)


def _bind(source: str, target: str, flags: int) -> None:
    """Show ``source`` at ``target``; what its file system forbids must stay forbidden."""
    _mount(source, target, flags=_BIND)
    has = os.statvfs(target).f_flag
    kept = has & _ST_KEEP | (_RELATIME if has & _ST_RELATIME else 0)
    _mount("", target, flags=_REMOUNT | _BIND | flags | kept)


def _new_user(outside: tuple[int, int]) -> None:
    """Put the number of the commands' user in place of our own, alone."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{USER} {outside[0]} 1"),
        ("gid_map", f"{USER} {outside[1]} 1"),
    ):
        _write(f"/proc/self/{name}", text)


def _write(path: str, text: str, folder: int | None = None) -> None:
    """Plain system calls: once the host's root is gone, Python cannot load what it lacks."""
    handle = os.open(path, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _devices(root: str) -> None:
    _mount("tmpfs", f"{root}/dev", "tmpfs", _NOSUID | _NOEXEC, "mode=755,size=64k")
    for name in _NODES:
        os.close(os.open(f"{root}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"/dev/{name}", f"{root}/dev/{name}", flags=_BIND)
    for name, target in _LINKS:
        os.symlink(target, f"{root}/dev/{name}")  # noqa: PTH211
    shared = f"{root}/dev/shm"  # noqa: S108 - a new root's
    os.mkdir(shared)  # noqa: PTH102
    _mount("tmpfs", shared, "tmpfs", _NOSUID | _NODEV, "mode=1777,size=256m")
    _mount("", f"{root}/dev", flags=_REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)


def _proc(root: str) -> None:
    """Only processes are told about; kernels before 5.8 tell all they do."""
    flags = _NOSUID | _NODEV | _NOEXEC
    try:
        _mount("proc", f"{root}/proc", "proc", flags, "subset=pid")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount("proc", f"{root}/proc", "proc", flags)


def _enter(job: dict[str, Any]) -> None:
    """Make the root of the job ours and let go of the host's."""
    root = job["root"]
    _mount("", "/", flags=_REC | _PRIVATE)
    _bind(root, root, _RDONLY | _NOSUID | _NODEV)
    for name in ("src", "build", "tmp"):
        _bind(job[name], f"{root}/{name}", _NOSUID | _NODEV | (_RDONLY if name == "src" else 0))
    _devices(root)
    _proc(root)
    host = _HOST.encode()
    _checked("sethostname", _libc.sethostname(host, len(host)))
    os.chdir(root)
    _checked("pivot_root", _libc.pivot_root(b".", b"."))
    _checked("umount", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def _give_up_privileges() -> None:
    for number in range(64):
        if _libc.prctl(_CAPBSET_DROP, ctypes.c_ulong(number), *[ctypes.c_ulong(0)] * 3) < 0:
            break  # there are no more
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked("capset", _libc.capset(header, (ctypes.c_uint32 * 6)()))
    _prctl(_SET_NO_NEW_PRIVS, 1)


def _become_first(job: dict[str, Any], *, as_root: bool) -> None:
    """What process 1 of the sandbox does before the first step."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    sysctl = os.open("/proc/sys", os.O_PATH | os.O_DIRECTORY)
    _enter(job)
    if as_root:
        os.setgroups([])
        os.setresgid(OUTSIDE, OUTSIDE, OUTSIDE)
        os.setresuid(OUTSIDE, OUTSIDE, OUTSIDE)
        _prctl(_SET_DUMPABLE, 1)  # else our own /proc/self is root's
        _unshare(_NEW_USER)
        _new_user((OUTSIDE, OUTSIDE))
    # User namespaces inside would give the commands capabilities again, in name.
    _write("user/max_user_namespaces", "0", sysctl)
    os.close(sysctl)
    _give_up_privileges()
    _prctl(_SET_DUMPABLE, 0)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)  # forgotten when the user changed


def _step(job: dict[str, Any], script: str) -> NoReturn:
    """Become the shell of one step."""
    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.setsid()
    os.umask(0o022)
    os.chdir("/build")
    os.execve("/bin/bash", ["bash", "-euo", "pipefail", "-c", script], job["env"])  # noqa: S606


def _work(job: dict[str, Any], answer: int, *, as_root: bool) -> None:
    _become_first(job, as_root=as_root)
    for number, script in enumerate(job["steps"]):
        child = os.fork()
        if not child:
            _step(job, script)
        ended, status = os.wait()
        while ended != child:  # orphans are ours
            ended, status = os.wait()
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # what a step has left behind; never ourselves
        if status:
            code = os.waitstatus_to_exitcode(status)
            os.write(answer, json.dumps({"step": number, "status": code}).encode())
            return
    os.write(answer, json.dumps({"done": len(job["steps"])}).encode())


def main(words: list[str]) -> None:
    """Run the job in the file ``words[0]``; what came of it goes to the descriptor ``words[1]``.

    ``{"done": N}``, or ``{"step": N, "status": S}`` for the one that failed, or
    ``{"refused": WHY}`` when there can be no sandbox here.
    """
    with open(words[0], encoding="utf-8") as file:  # noqa: PTH123
        job = json.load(file)
    answer = int(words[1])
    os.set_inheritable(answer, False)
    try:
        as_root = True
        try:
            _unshare(_NEW_REST)
        except PermissionError:
            as_root = False
            outside = (os.geteuid(), os.getegid())
            _unshare(_NEW_USER | _NEW_REST)
            _new_user(outside)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        _work(job, answer, as_root=as_root)
    except OSError as error:
        os.write(answer, json.dumps({"refused": str(error)}).encode())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
