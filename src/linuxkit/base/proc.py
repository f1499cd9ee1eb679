"""The one way to start another program, with failures a user can replay."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple, cast

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

_TAIL_LINES = 12
PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT


class Completed(NamedTuple):
    """A program that ended well."""

    stdout: bytes
    stderr: bytes


def find(program: str, *, package: str) -> str:
    """The absolute path of ``program``; LK0901 names the Debian ``package`` that has it."""
    path = shutil.which(program, path=_path())
    if path is None:
        raise Error(
            "LK0901",
            f'the program "{program}" is not installed',
            hint=f"on Debian: apt-get install {package}",
        )
    return path


def run(
    argv: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = None,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run ``argv`` to its end and keep its output.

    ``env`` is added to a small fixed environment (PATH, C locale, UTC), so that the host's
    settings do not reach results; no program is looked for in the working folder.  ``pass_fds``
    are descriptors that it inherits.  Raises LK0901 (not found), LK0902 (failed), LK0903
    (time-out).
    """
    words = [os.fspath(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, env=_environment(env), cwd=cwd,
            timeout=timeout_s, check=False, pass_fds=pass_fds,
        )  # fmt: skip
    except OSError as error:
        raise _unstartable(words[0], error) from error
    except subprocess.TimeoutExpired as error:
        tail = _tail(error.stderr or b"")
        raise Error(
            "LK0903", f'"{words[0]}" did not end within {timeout_s:g} s', detail=replay(words, tail)
        ) from error
    if done.returncode:
        why = status(done.returncode)
        raise Error(
            "LK0902", f'"{words[0]}" {why}', detail=replay(words, _tail(done.stderr or done.stdout))
        )  # fmt: skip
    return Completed(done.stdout, done.stderr)


@contextlib.contextmanager
def feeding(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[BinaryIO]:
    """Run ``argv`` with what the block writes as its input; it has ended after the block.

    A block that fails ends it.  Otherwise as :func:`run`; raises LK0901, LK0902.
    """
    import tempfile

    words = [os.fspath(word) for word in argv]
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile())  # a pipe would fill while we write
        try:
            process = subprocess.Popen(
                words, stdin=PIPE, stdout=said, stderr=said, env=_environment(env),
                pass_fds=pass_fds,
            )  # fmt: skip
        except OSError as error:
            raise _unstartable(words[0], error) from error
        stack.enter_context(process)
        stack.callback(process.kill)  # of no effect on one that has ended
        sink = cast("BinaryIO", process.stdin)
        with contextlib.suppress(BrokenPipeError):  # its status tells why it stopped reading
            yield sink
        with contextlib.suppress(BrokenPipeError):
            sink.close()
        if process.wait():
            said.seek(0)
            raise Error(
                "LK0902", f'"{words[0]}" {status(process.returncode)}',
                detail=replay(words, _tail(said.read())),
            )  # fmt: skip


def _unstartable(program: str, error: OSError) -> Error:
    if isinstance(error, FileNotFoundError):
        return Error("LK0901", f'the program "{program}" is not installed')
    return Error("LK0902", f'"{program}" cannot be started: {error.strerror}')


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {"PATH": _path(), "LC_ALL": "C", "TZ": "UTC", **(more or {})}


def start(
    argv: Sequence[str | Path],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start ``argv`` and come back at once; the caller must wait for it.

    It gets a session of its own, so that Ctrl-C is for the caller to act on, and dies with the
    thread that started it (prctl(2), PR_SET_PDEATHSIG) where util-linux' setpriv is installed.
    ``stdin`` and the others are descriptors, PIPE or DEVNULL.  Raises LK0901, LK0902.
    """
    words = [os.fspath(word) for word in argv]
    keeper = shutil.which("setpriv")
    # Busybox has a setpriv without this flag; there it is a link to another name.
    if keeper and os.path.basename(os.path.realpath(keeper)) == "setpriv":  # noqa: PTH119
        if shutil.which(words[0]) is None:
            raise Error("LK0901", f'the program "{words[0]}" is not installed')
        words = [keeper, "--pdeathsig", "KILL", "--", *words]
    try:
        return subprocess.Popen(
            words, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise _unstartable(words[0], error) from error


def finish(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Wait so long for a program that was started to end by itself, then end it."""
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def attempt(argv: Sequence[str | Path], *, timeout_s: float) -> int | None:
    """Run ``argv`` without input or output; its status, None when it had to be killed.

    Raises LK0901, LK0902 (it cannot be started).
    """
    process = start(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def _path() -> str:
    """PATH without folders that depend on where we are: there may lie what others wrote."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    absolute = [folder for folder in folders if os.path.isabs(folder)]  # noqa: PTH117
    return os.pathsep.join(absolute) or os.defpath


def replay(words: Sequence[str], tail: str) -> str:
    """The command as a shell would take it, and the last lines it said."""
    return f"command: {shlex.join(words)}" + (f"\n{tail}" if tail else "")


def status(code: int) -> str:
    """How a program ended, in words."""
    if code >= 0:
        return f"failed with status {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _tail(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(printable(line) for line in lines)
