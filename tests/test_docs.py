"""What the documentation says is so: error codes, YAML samples and links."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from linuxkit.base import platform
from linuxkit.spec import load
from support import formats, proofs

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "linuxkit"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"LK\d{4}")

HOSTS = {"net", "oci", "recipes", "sources"}  # who is told what a host said, or that it said nothing

# Codes that several parts of the program raise; they mean the same everywhere.
SHARED = {
    "LK0102": {
        "base", "build", "cli", "formats", "oci", "publishers", "recipes", "runners"
    },  # the system's no
    "LK0115": {"net", "sources"},  # no container engine
    "LK0201": {"recipes", "spec"},  # not UTF-8, or no YAML: also a package's build.yml
    "LK0202": {"recipes", "spec"},
    "LK0208": {"build", "spec"},  # a value that shows itself wrong beside the image's label
    "LK0211": {"build", "spec"},
    "LK0301": {"base", "oci"},
    "LK0303": {"build", "oci", "recipes", "sources"},  # a blob, whoever wants it
    "LK0304": {"oci", "recipes"},
    "LK0305": {"build", "oci", "recipes"},
    "LK0306": {"build", "oci", "sources"},
    "LK0320": {"oci", "recipes", "sources"},  # only the lock knows that it once was there
    "LK0321": {"oci", "sources"},
    "LK0328": {"oci", "recipes"},  # a tag that stands for another image
    "LK0331": {"oci", "recipes"},
    "LK0354": {"oci", "sources"},  # a file of images has not this one
    "LK0401": {"build", "cli"},  # no such image in the store
    "LK0402": {"build", "spec"},  # needs the network
    "LK0410": HOSTS,
    "LK0411": HOSTS,
    "LK0412": HOSTS,
    "LK0413": HOSTS,
    "LK0414": HOSTS,
    "LK0416": HOSTS,
    "LK0419": HOSTS,
    "LK0501": {"recipes", "sources"},
    "LK0540": {"recipes", "sources"},  # of the lock that is shipped, or of the user's
    "LK0566": {"cli", "recipes"},  # no package folder there
    "LK0601": {"recipes", "tree"},
    "LK0901": {"base", "oci", "runners"},  # a program is not there: QEMU, a credential helper
    "LK0903": {"base", "oci"},
    "LK0757": {"build", "cli"},  # nothing to audit
    "LK0758": {"build", "cli"},  # no list of system calls, or nothing to make one of
    "LK0778": {"cli", "disk"},  # no measurements, or none that can be compared
}


def codes_of(path: Path) -> set[str]:
    """Codes that stand as whole texts in a module; those in docstrings are parts of texts."""
    constants = (
        n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)
    )
    return {value for value in constants if isinstance(value, str) and CODE.fullmatch(value)}


def raised() -> dict[str, set[str]]:
    """Each code, and the parts of the program that raise it; the command line only sorts them."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if path != SOURCE / "cli" / "main.py":
            for code in codes_of(path):
                found.setdefault(code, set()).add(part)
    for code in codes_of(SOURCE / "cli" / "main.py"):
        found.setdefault(code, {"cli"})
    return found


def documented() -> list[str]:
    pages = sorted((ROOT / "docs" / "reference" / "errors").glob("*.md"))
    found = []
    for page in pages:
        own = re.findall(r"^## (LK\d{4}) \S", page.read_text(), re.MULTILINE)
        assert all(code.startswith(page.stem) for code in own), page
        assert own == sorted(own), page
        found += own
    return found


def test_every_code_is_documented_once_and_raised():
    assert documented() == sorted(raised())


def test_a_code_means_one_thing():
    several = {code: parts for code, parts in raised().items() if len(parts) > 1}
    unknown = {
        code: parts for code, parts in several.items() if not parts <= SHARED.get(code, set())
    }
    assert unknown == {}, "raised by several parts: the same meaning (then SHARED) or a new code?"


class Packages:
    def reference(self, text, *, base, where):
        return f"linuxkit.stock/{text}:0123456789abcdef"


def samples() -> list[object]:
    """The samples that are whole systems, or files beside one; others are packages' recipes."""
    found = []
    for page in PAGES:
        if page.name == "recipe.md":
            continue
        text = page.read_text()
        for match in re.finditer(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            if re.search(r"^(kernel|services|include):", match[1], re.MULTILINE):
                line = text.count("\n", 0, match.start()) + 1
                name = f"{page.relative_to(ROOT)}:{line}"
                found.append(pytest.param(match[1], name, id=name))
    assert found
    return found


@pytest.mark.parametrize(("text", "name"), samples())
def test_samples_are_right(text, name, monkeypatch):
    monkeypatch.chdir(ROOT / "examples")  # where samples include files from
    load.parse(text, name.replace("/", "-"), packages=Packages())


def links() -> list[object]:
    found = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        targets = re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text)
        name = page.relative_to(ROOT)
        found += [pytest.param(page, target, id=f"{name}:{target}") for target in targets]
    return found


@pytest.mark.parametrize(("page", "target"), links())
def test_links_lead_somewhere(page, target):
    path, _, anchor = target.partition("#")
    there = page.parent / path if path else page
    assert there.exists()
    if anchor:
        heads = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


COVERAGE = ROOT / "docs" / "reference" / "coverage.md"
CASES = {  # of upstream's test/cases/040_packages
    "001_dummy", "002_bcc", "002_binfmt", "002_bpftrace", "003_ca-certificates", "003_cgroupv2",
    "003_containerd", "004_dhcpcd", "004_dm-crypt/000_simple", "004_dm-crypt/001_luks",
    "004_dm-crypt/002_key", "005_extend/000_ext4", "005_extend/001_btrfs", "005_extend/002_xfs",
    "005_extend/003_gpt", "006_format_mount/000_auto", "006_format_mount/001_by_label",
    "006_format_mount/002_by_name", "006_format_mount/003_btrfs", "006_format_mount/004_xfs",
    "006_format_mount/005_by_device_force", "006_format_mount/006_gpt", "006_format_mount/010_multiple",
    "007_getty-containerd", "009_init_containerd", "011_kmsg", "012_logwrite", "012_losetup",
    "013_metadata/000_cidata", "013_mkimage", "019_sysctl", "023_wireguard", "025_auth",
    "026_buildkit_config",
}  # fmt: skip
# What no test shows; the page says why.
UNCOVERED = {"002_bcc", "kernel-debug", "kernel-debug-races", "kernel-metal"}


def covered() -> dict[str, str]:
    """Each case and package of the page's tables, and what its row names as proof."""
    cases, _, _ = COVERAGE.read_text().partition("## Services that are kept")
    rows = re.findall(r"^\| (`.*)\|$", cases, re.MULTILINE)
    return {name: cells[-1] for cells in (row.split(" | ") for row in rows) for name in re.findall("`([^`]+)`", cells[0])}


def test_every_case_and_package_has_a_test():
    found = covered()
    packages = {path.parent.name for path in ROOT.glob("packages/*/build.yml")}
    assert set(found) == CASES | packages
    assert {name for name, proof in found.items() if "::" not in proof} == UNCOVERED


def made_for(arch: str) -> set[str]:
    """The stock packages for which all that is made for ``arch`` is locked, or ready made."""
    locked = json.loads((ROOT / "packages" / "debian.lock").read_text())["packages"]
    found = set()
    for file in ROOT.glob("packages/*/build.yml"):
        name = file.parent.name
        arches = re.search(r"^arches: \[(.*)\]", file.read_text(), re.MULTILINE)
        needed = [value for key, value in locked.items() if key.partition(":")[0] == name]
        if arch in (arches[1].split(", ") if arches else platform.names()) and all(arch in value for value in needed):
            found.add(name)
    return found


@pytest.mark.parametrize("arch", platform.names())
def test_the_page_of_packages_tells_what_there_is_for_an_architecture(arch):
    text = (ROOT / "docs" / "reference" / "packages.md").read_text()
    _, form, names = re.search(rf"^\| ({arch}) \| (all but|only) (.*) \|$", text, re.MULTILINE).groups()
    named = set(re.findall("`([^`]+)`", names))
    every = {path.parent.name for path in ROOT.glob("packages/*/build.yml")}
    assert (every - named if form == "all but" else named) == made_for(arch)


def test_tests_that_are_named_as_proof_exist():
    named = set(re.findall(r"`([^`]+::[^`]+)`", COVERAGE.read_text()))
    assert named
    for test in sorted(named):
        path, _, function = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_the_page_of_formats_tells_what_tests_have_proved(request):
    """Run with --accept to make the page of tests/proofs.tsv, without tests that are gone."""
    kept = proofs.load()
    files = sorted({each.test.partition("::")[0] for each in kept})
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    there = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    gone = {each for each in kept if each.test not in there.splitlines()}
    text = proofs.PAGE.read_text()
    head, _, rest = text.partition(proofs.BEGIN)
    found, _, tail = rest.partition(proofs.END)
    if request.config.getoption("--accept"):
        proofs.save(kept - gone)
        made = proofs.page(kept - gone)
        proofs.PAGE.write_text(head + proofs.BEGIN + made + proofs.END + tail)
        return
    assert not gone, "no such test"
    assert found == proofs.page(kept), "run: pytest -k page_of_formats --accept"
    made = {each.form for each in kept if each.what == proofs.MADE}
    assert made == set(formats.NAMES)
