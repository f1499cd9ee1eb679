"""What disk images of examples/web.yml cost, against `cp` and gzip of their bytes in the same run.

Each is made from a system that is in the store already, into an empty folder; what a format keeps in
the store is taken away before each run, so that all of its work is measured.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from measure import compare, once

ROOT = Path(__file__).resolve().parent.parent
LINUXKIT = str(Path(sys.executable).with_name("linuxkit"))
FORMATS = ("kernel+squashfs", "kernel+erofs", "iso-efi", "raw-efi", "raw-bios", "vmdk")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, saved, copies = (Path(folder, name) for name in ("out", "saved", "copies"))
        yml = Path(folder, "web.yml")
        shutil.copy(ROOT / "examples" / "web.yml", yml)
        cache = Path(folder, "cache")
        out.mkdir()
        copies.mkdir()

        def forget() -> None:
            for path in out.iterdir():
                path.unlink()
            for form in ("erofs", "squashfs", "stage.*", "disk.*"):
                for path in (cache / "linuxkit" / "derived").glob(f"*/*/{form}"):
                    path.unlink()

        for form in FORMATS:
            build = [LINUXKIT, "-q", "build", "--cache", str(cache), "-f", form]
            build += ["--dir", str(out), str(yml)]
            once(build)
            shutil.copytree(out, saved)
            script = f"cp '{saved}'/* '{copies}' && cat '{saved}'/* | gzip -1 > '{copies}/packed'"
            compare(form, build, ["sh", "-c", script], before=forget)
            shutil.rmtree(saved)


if __name__ == "__main__":
    main()
