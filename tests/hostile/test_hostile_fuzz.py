"""Each reader meets mutations of the whole corpus for some seconds; see HACKING for longer."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys

import pytest

from support import seeds

RUNS = 20_000
SECONDS = 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "cpio", "yaml", "deb"])
def test_fuzz(kind, tmp_path):
    if importlib.util.find_spec("atheris") is None:
        promised = platform.machine() == "x86_64" and sys.version_info < (3, 14)  # as pyproject has it
        assert not (promised and os.environ.get("CI") == "true"), "atheris is not installed"
        pytest.skip("atheris is not installed")
    corpus, findings = tmp_path / "corpus", tmp_path / "findings"
    corpus.mkdir()
    findings.mkdir()
    for n, data in enumerate(seeds.of(kind)):
        (corpus / str(n)).write_bytes(data)
    done = subprocess.run(
        [
            sys.executable, seeds.ROOT / "fuzz" / f"fuzz_{kind}.py", f"-runs={RUNS}", "-seed=1",
            f"-max_total_time={SECONDS}", "-timeout=30", "-rss_limit_mb=1024",
            f"-artifact_prefix={findings}/", corpus,
        ],
        env={**os.environ, "PYTHONPATH": str(seeds.ROOT / "src")},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert not list(findings.iterdir())
