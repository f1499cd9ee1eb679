"""Style and types are tests like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*argv: str) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff():
    run(sys.executable, "-m", "ruff", "check", ".")


def test_mypy():
    run(sys.executable, "-m", "mypy")


def test_shell_scripts():
    scripts = [
        str(path)
        for path in sorted([*ROOT.glob("scripts/*"), *ROOT.glob(".ci/*"), *ROOT.glob("packages/*/*")])
        if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"# Sourced by"))
    ]
    assert scripts
    run("shellcheck", "-x", *scripts)
