"""Where the tool's own data lies: inside the installed package, or in the source checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent


def package() -> Path:
    """The folder of this very program."""
    return _PACKAGE


def checkout() -> Path | None:
    """The git checkout that this program runs from, if it does."""
    is_ours = _PACKAGE.parent.name == "src" and (_CHECKOUT / ".git").exists()
    return _CHECKOUT if is_ours else None


def packages() -> Path:
    """The folder of stock package recipes."""
    shipped = _PACKAGE / "data" / "packages"
    return shipped if shipped.is_dir() else _CHECKOUT / "packages"


def prebuilt() -> Path:
    """The folder of images that are not made on the spot; it need not exist."""
    shipped = _PACKAGE / "data" / "prebuilt"
    return shipped if shipped.is_dir() else _CHECKOUT / "prebuilt"


def examples() -> Path:
    """The folder of example systems, which are also what new systems start from."""
    shipped = _PACKAGE / "data" / "examples"
    return shipped if shipped.is_dir() else _CHECKOUT / "examples"


def guest(arch: str, program: str) -> Path:
    """A guest program built for the OCI architecture ``arch``; it need not exist."""
    return _PACKAGE / "data" / "guest" / arch / program


def tools() -> Path:
    """The folder of recipes for the programs that disk images are made with."""
    shipped = _PACKAGE / "data" / "tools"
    return shipped if shipped.is_dir() else _CHECKOUT / "tools"
