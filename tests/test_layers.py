"""The architecture as a test: who may import whom, and where each third-party library lives."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "linuxkit"

LEVELS = {
    "base": 0, "version": 0, "net": 1, "tree": 1, "disk": 1, "oci": 2, "spec": 3, "build": 4,
    "sources": 5, "recipes": 5, "formats": 5, "runners": 5, "publishers": 5, "api": 6, "": 6, "cli": 7,
}  # fmt: skip

# A package folder is a source of images whose making is the recipes' business.
SIDEWAYS = {("disk", "tree"), ("sources", "recipes")}

HOMES = {
    "yaml": ["spec/yaml.py"],
    "urllib3": ["net/http.py"],
    "zlib_ng": ["tree/compress.py"],
    "backports": ["tree/compress.py"],
    "compression": ["tree/compress.py"],
    "lz4": ["tree/compress.py"],
    "pysequoia": ["recipes/debian/release.py"],
    "rich": ["cli/render.py"],
    "distributed": ["sources/farm.py"],
    "cryptography": ["oci/keys.py", "disk/certificates.py"],
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE)
        if relative.parts[0] == "data":
            continue
        parts = list(relative.with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(["linuxkit", *parts])] = path
    return found


MODULES = modules()


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path, *, typing_too: bool) -> list[str]:
    """Names of imported modules; those under TYPE_CHECKING only when asked for."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if not typing_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped.update(inner for child in node.body for inner in ast.walk(child))
    names = []
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.append(full if full in MODULES else node.module)
    return names


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module):
    mine = layer(module)
    for name in imports(MODULES[module], typing_too=True):
        if name != "linuxkit" and not name.startswith("linuxkit."):
            continue
        other = layer(name)
        allowed = (
            other == mine
            or (mine, other) in SIDEWAYS
            or LEVELS[other] < LEVELS[mine]
            or {mine, other} == {"", "api"}  # the package is a lazy face of its api
        )
        assert allowed, f"{module} (layer {mine or 'api'}) imports {name} (layer {other or 'api'})"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_third_party_imports_have_one_home(module):
    path = MODULES[module]
    relative = path.relative_to(SOURCE).as_posix()
    for name in imports(path, typing_too=False):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == "linuxkit":
            continue
        assert top in HOMES, f"{module} imports {top}, which no module may"
        assert relative in HOMES[top], f"{top} belongs in {HOMES[top]}, not in {module}"


def test_no_module_imports_itself_in_a_circle():
    graph = {
        module: {n for n in imports(path, typing_too=False) if n in MODULES and n != module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join([*trail, module])
        if module in done:
            return
        for other in sorted(graph[module]):
            visit(other, (*trail, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_only_proc_starts_programs():
    starters = {
        str(path.relative_to(SOURCE))
        for path in MODULES.values()
        if "subprocess" in imports(path, typing_too=False)
    }
    # A machine is a program that goes on running while we talk with it.
    assert starters <= {"base/proc.py", "runners/machine.py", "runners/qemu.py"}
