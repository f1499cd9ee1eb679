"""Compiles the guest's tests, and gives each a PID 1 in a world of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linuxkit.base import platform
from support.guest_world import GUEST, World

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiler() -> str:
    for name in ("gcc", "clang", "cc"):
        if shutil.which(name):
            return name
    if os.environ.get("CI") == "true":
        pytest.fail("no C compiler")
    pytest.skip("no C compiler")


def run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def objects(tmp_path_factory) -> list[Path]:
    """Every part of PID 1 but main.c and the real system calls, with sanitizers."""
    out = tmp_path_factory.mktemp("objects")
    sources = [p for p in sorted(GUEST.glob("init/*.c")) if p.stem not in {"main", "sys", "sys_socket"}]
    strict = ["-Wconversion", "-Wshadow"]
    made = []
    for source in sources:
        made.append(out / f"{source.stem}.o")
        run(compiler(), *FLAGS, *SANITIZE, *strict, "-c", source, "-o", made[-1])
    return made


@pytest.fixture(scope="session")
def link(objects, tmp_path_factory):
    """Links a test program with PID 1's parts and a machine made of tables."""
    out = tmp_path_factory.mktemp("programs")
    fakes = [out / "fake_files.o", out / "fake_sys.o"]
    for fake in fakes:
        source = GUEST / "tests" / f"{fake.stem}.c"
        run(compiler(), *FLAGS, *SANITIZE, "-c", source, "-o", fake)

    def make(name: str) -> Path:
        program = out / name
        source = GUEST / "tests" / f"{name}.c"
        run(compiler(), *FLAGS, *SANITIZE, source, *objects, *fakes, "-o", program)
        return program

    return make


def _build_guest():
    spec = importlib.util.spec_from_file_location("build_guest", GUEST.parent / "scripts/build_guest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_guest"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build_guest():
    pytest.importorskip("ziglang")
    return _build_guest()


@pytest.fixture(scope="session")
def init(build_guest) -> Path:
    """The program that ships, built for this machine."""
    arch = platform.host().oci
    build_guest.build(arch)
    return build_guest.DATA / arch / "init"


@pytest.fixture(scope="session")
def service(init) -> Path:
    """The program that asks PID 1, as it ships."""
    return init.with_name("service")


@pytest.fixture(scope="session")
def helpers(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("helpers")
    run(compiler(), *FLAGS, "-static", GUEST / "tests" / "act.c", "-o", out / "act")
    run(compiler(), *FLAGS, GUEST / "tests" / "nsrun.c", "-o", out / "nsrun")
    return out


@pytest.fixture
def world(tmp_path, helpers, init):
    made = World(tmp_path / "root", helpers, init)
    yield made
    made.close()
