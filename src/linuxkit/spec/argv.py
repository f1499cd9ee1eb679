"""A command line written as one text, as the list of program and arguments that is wanted."""

from __future__ import annotations

import json
import re
import shlex

_SHOWN = 200  # characters; longer ones are not written out
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\$`]|\\.)*"|\\.""", re.DOTALL)
_SHELL = re.compile(r"""[|&;<>()$`*?\[{~#!"'\\\n]|^\s*\w+=""")  # what only a shell understands


def remedy(text: str) -> str:
    """What to write instead of ``text``; programs are started without a shell."""
    text = text.strip()
    if not text:
        return "leave the key out or write []"
    if len(text) > _SHOWN:
        return "write a list: the program, then each of its arguments"
    if _SHELL.search(_QUOTED.sub("", text)):
        words = ["/bin/sh", "-c", text]
        return f"no shell reads it; where the image has one, write {_listed(words)}"
    return f"write {_listed(shlex.split(text))}"


def _listed(words: list[str]) -> str:
    return json.dumps(words, ensure_ascii=not all(map(str.isprintable, words)))
