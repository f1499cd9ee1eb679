"""Running this checkout as somebody without any privilege, where only they may write."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.checkout import ROOT

NUMBER = 65534


# What building needs; all that lies beside it may be a thousand times as much.
LIBRARIES = ("yaml", "urllib3", "zlib_ng", "backports.zstd", "cryptography", "cffi", "_cffi_backend",
             "pysequoia", "rich")  # fmt: skip


def _copy_library(name: str, folder: Path) -> None:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        return  # it then is not needed by this version of Python
    origin, target = Path(found.origin), folder / name.replace(".", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, target)
    else:
        shutil.copy(origin, target.parent)


def interpreter() -> str:
    """A Python of this version that anybody may start; root's own may lie in its home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (Path("/usr/bin") / version, Path(sys.executable).resolve()):
        if candidate.exists():
            return str(candidate)
    raise AssertionError(f"no {version} that everybody may start")


@contextlib.contextmanager
def home(*, blobs: Path | None = None):
    """A folder of theirs with a copy of the tool and, in ``cache``, of the store's ``blobs``."""
    theirs = Path("/tmp") / f"linuxkit-nobody-{os.getpid()}"
    theirs.mkdir(mode=0o755)
    try:
        # What was downloaded is handed over, what was made is not.
        (theirs / "cache" / "blobs").mkdir(parents=True)
        if blobs is not None:
            shutil.copytree(blobs, theirs / "cache" / "blobs", dirs_exist_ok=True)
        # The interpreter and the sources may lie where only root can look.
        shutil.copytree(ROOT / "src", theirs / "src", ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name in ("packages", "tools"):
            shutil.copytree(ROOT / name, theirs / name)
        for name in LIBRARIES:
            _copy_library(name, theirs / "lib")
        (theirs / "out").mkdir()
        yield theirs
    finally:
        shutil.rmtree(theirs)


def run(theirs: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python ``program`` in their home."""
    subprocess.run(["chown", "-R", f"{NUMBER}:{NUMBER}", theirs], check=True)
    env = {
        "PATH": os.environ["PATH"], "HOME": str(theirs), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{theirs}/src:{theirs}/lib", "TZ": "Asia/Kathmandu",
    }  # fmt: skip
    argv = ["setpriv", "--reuid", str(NUMBER), "--regid", str(NUMBER), "--clear-groups",
            "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs",
            interpreter(), "-c", program, *words]  # fmt: skip
    done = subprocess.run(argv, cwd=theirs, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done
