"""Configurations: whatever is given is taken or refused with a place."""

from __future__ import annotations

import atheris
from common import fuzz

with atheris.instrument_imports(include=["linuxkit"]):
    from linuxkit.base.errors import Error
    from linuxkit.spec import load, metadata, yaml


def target(data: bytes) -> None:
    """A refusal says where; what is accepted can be written as YAML and means the same again."""
    text = yaml.decode_text(data, "x.yml")
    try:
        spec = load.parse(text, "x.yml")
    except Error as error:
        if not all(each.where and each.where.line for each in error.all()):
            raise AssertionError("a refusal without a place") from error
        return
    written = metadata.render(spec, "yaml")
    if written.strip() != b"{}":
        assert metadata.render(load.parse(written.decode()), "yaml") == written


fuzz(target)
