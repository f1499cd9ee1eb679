"""Where the tool's own data lies: inside the installed package, or in the source checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent


def packages() -> Path:
    """The folder of stock package recipes."""
    shipped = _PACKAGE / "data" / "packages"
    return shipped if shipped.is_dir() else _CHECKOUT / "packages"


def guest(arch: str, program: str) -> Path:
    """A guest program built for the OCI architecture ``arch``; it need not exist."""
    return _PACKAGE / "data" / "guest" / arch / program
