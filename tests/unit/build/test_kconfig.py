"""The configuration of kernels: reading it, and what tells two apart."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import kconfig

TEXT = """\
#
# Automatically generated file; DO NOT EDIT.
#
CONFIG_BUG=y
# CONFIG_DEBUG_BUGVERBOSE is not set
CONFIG_EXT4_FS=m

CONFIG_LSM="landlock,lockdown"
CONFIG_NR_CPUS=64
"""


def test_values_are_those_of_whole_names():
    config = kconfig.parse(TEXT)
    assert config.get("BUG") == "y"
    assert config.get("EXT4_FS") == "m"
    assert config.get("LSM") == '"landlock,lockdown"'
    assert config.get("NR_CPUS") == "64"
    for other in ("DEBUG_BUGVERBOSE", "EXT4", "BU", "DEBUG_BUG", "CONFIG_BUG", "EXT4_FS_SECURITY"):
        assert config.get(other) == "n", other


@pytest.mark.parametrize("line", ["CONFIG_BUG y", "BUG=y", "CONFIG_=y", "hello"])
def test_other_lines_are_refused(line):
    with pytest.raises(Error) as caught:
        kconfig.parse(f"CONFIG_A=y\n{line}\n")
    assert caught.value.code == "LK0760"
    assert "line 2" in caught.value.message


def test_differences_are_sorted_and_absent_is_n():
    before = kconfig.parse("CONFIG_B=y\nCONFIG_A=1\nCONFIG_SAME=y\n# CONFIG_OFF is not set\n")
    after = kconfig.parse("CONFIG_A=2\nCONFIG_SAME=y\nCONFIG_C=m\n")
    assert [tuple(each) for each in kconfig.differences(before, after)] == [
        ("A", "1", "2"), ("B", "y", "n"), ("C", "n", "m"),
    ]  # fmt: skip
