"""What a rebuild of examples/web.yml costs, against `cp` of its outputs in the same run.

Targets: nothing changed, at most 0.4 s of CPU time; one file changed, at most 0.6 s; less than
256 MiB of memory.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measure import compare, once

ROOT = Path(__file__).resolve().parent.parent
LINUXKIT = str(Path(sys.executable).with_name("linuxkit"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, copies = Path(folder, "out"), Path(folder, "copies")
        out.mkdir()
        copies.mkdir()
        yml = Path(folder, "web.yml")
        text = (ROOT / "examples" / "web.yml").read_text()
        yml.write_text(text)
        build = [LINUXKIT, "-q", "build", "--dir", str(out), str(yml)]
        once(build)
        copy = ["cp", *map(str, sorted(out.iterdir())), str(copies)]
        compare("nothing changed", build, copy)
        count = 0

        def change() -> None:
            nonlocal count
            count += 1
            addition = f'  - {{path: etc/changed, contents: "{count}"}}\n'
            yml.write_text(text.replace("\nfiles:\n", f"\nfiles:\n{addition}"))

        compare("one file changed", build, copy, before=change)


if __name__ == "__main__":
    main()
