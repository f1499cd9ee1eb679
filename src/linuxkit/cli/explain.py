"""``linuxkit explain``: where images would come from, without fetching anything."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from linuxkit.base.errors import printable
from linuxkit.cli import project, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.build.explain import Answer, Explanation
    from linuxkit.build.source import Wanted
    from linuxkit.cli.arguments import Parser
    from linuxkit.cli.project import Project
    from linuxkit.oci.ref import Ref

_YAML = (".yml", ".yaml")
_MISSING = 1


def configure(parser: Parser) -> None:
    """What is to be explained."""
    parser.description = (
        "Show where an image would come from, or every image that a YAML file names: the sources\n"
        "in the order of the search, what each has, and which is taken.  Nothing is fetched.\n"
        "Status 1 when nobody has an image."
    )
    text = 'reference of an image, "@pkg:NAME", or YAML file; - is standard input'
    parser.add_argument("files", nargs="+", metavar="WHAT", help=text)
    text = "value of a variable that a file declares; without =VALUE that of the environment"
    parser.add_value("--set", "NAME[=VALUE]", text, default=[])
    parser.add_value("--arch", "ARCH", "architecture of the system (else this machine's)")
    project.add(parser)
    parser.add_switch("--offline", "ask no registry")
    parser.add_switch("--docker", "explain a build with --docker")
    parser.add_switch("--pull", "explain a build with --pull")


def main(args: argparse.Namespace) -> int:
    """Explain; the exit status."""
    found = [each for what in _grouped(args.files) for each in _explained(args, what)]
    if args.json:
        print(json.dumps([_value(each) for each in found], indent=1))
    else:
        print("\n\n".join("\n".join(_lines(each)) for each in found))
    return _MISSING if any(each.taken is None for each in found) else 0


def _grouped(words: Sequence[str]) -> Iterator[list[str]]:
    """The YAML files, which are merged, and each reference for itself."""
    yamls = [word for word in words if _is_yaml(word)]
    if yamls:
        yield yamls
    yield from ([word] for word in words if not _is_yaml(word))


def _is_yaml(word: str) -> bool:
    return word == "-" or word.endswith(_YAML) or "://" in word


def _explained(args: argparse.Namespace, what: list[str]) -> Iterator[Explanation]:
    from linuxkit.build import wanted
    from linuxkit.build.explain import explain
    from linuxkit.oci.model import Platform

    of_yaml = _is_yaml(what[0])
    given = argparse.Namespace(**{**vars(args), "files": what if of_yaml else []})
    opened = project.open_project(given, offline=args.offline)
    platform = Platform("linux", opened.arch)
    wants = (
        dict(wanted.needs(opened.spec, platform))
        if of_yaml
        else {platform: [_reference(what[0], opened)]}
    )
    for each, references in wants.items():
        first: dict[Ref, Wanted] = {}
        for want in references:
            first.setdefault(want.ref, want)
        for want in first.values():
            yield explain(want, each, opened.sources, offline=args.offline)


def _reference(text: str, opened: Project) -> Wanted:
    from linuxkit.build.source import Wanted
    from linuxkit.oci import ref
    from linuxkit.recipes.stock import Shelf

    return Wanted(ref.parse(Shelf().named(text, opened.arch)), None)


def _lines(each: Explanation) -> Iterator[str]:
    want = each.wanted
    yield printable(str(want.ref)) + (f"  ({want.where})" if want.where else "")
    rows = [_cells(answer, n == each.taken) for n, answer in enumerate(each.answers)]
    yield from (f"  {line}" for line in render.columns(rows).splitlines())
    if each.taken is None:
        yield "  nobody has it"


def _cells(answer: Answer, taken: bool) -> tuple[str, ...]:  # noqa: FBT001 - a cell of the row
    look = answer.look
    if look is None:
        return " ", answer.source, "-", ""
    facts = [
        look.digest,
        ",".join(look.platforms),
        "" if look.size is None else render.size(look.size),
        look.where,
        f"({look.note})" if look.note else "",
    ]
    text = "  ".join(printable(fact, 400) for fact in facts if fact)
    return ">" if taken else " ", answer.source, "has it" if look.has else "no", text


def _value(each: Explanation) -> dict[str, object]:
    where = each.wanted.where
    return {
        "ref": str(each.wanted.ref),
        "where": str(where) if where else "",
        "taken": None if each.taken is None else each.answers[each.taken].source,
        "digest": each.digest,
        "sources": [
            {"name": answer.source, **(answer.look._asdict() if answer.look else {"has": None})}
            for answer in each.answers
        ],
    }
