"""The corpus of hostile layers that each try one known trick.

Numbers are those of the flaws in other programs that the tricks come from; 0 is a trick that made
no headlines.  A verdict is an error's code, or the lines of the tree that must come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from support.archives import END, base256, block, long_name, member, pax

if TYPE_CHECKING:
    from collections.abc import Callable

Verdict = str | tuple[str, ...]


class Case(NamedTuple):
    """Layers, bottom first, without their end marks; ``why`` names the kind of flaw."""

    number: int
    name: str
    why: str
    layers: tuple[Callable[[], bytes] | bytes, ...]
    verdict: Verdict

    @property
    def id(self) -> str:
        return f"case-{self.number:02d} {self.name}" if self.number else f"trick {self.name}"

    def archives(self) -> list[bytes]:
        made = [layer() if callable(layer) else layer for layer in self.layers]
        return [data + END if len(data) % 512 == 0 else data for data in made]


def tar_file(name: bytes, data: bytes = b"", **fields: object) -> bytes:
    return member(name, data, **fields)


def link(name: bytes, target: bytes) -> bytes:
    return block(name, b"2", link=target, mode=b"0000777\0")


def hard(name: bytes, target: bytes) -> bytes:
    return block(name, b"1", link=target)


def folder(name: bytes, mode: bytes = b"0000755\0") -> bytes:
    return block(name, b"5", mode=mode)


SMUGGLED = member(b"smuggled", b"evil")


def chain() -> bytes:
    """Folders with long names, each known by a short link, deeper than any path may be."""
    name = b"d" * 250
    parts, short = [], b""
    for _ in range(17):
        parts.append(pax((b"path", short + name)) + block(b"d", b"5"))
        parts.append(pax((b"linkpath", name)) + block(short + b"l", b"2"))
        short += b"l/"
    parts.append(link(short + b"out", b"../" * 17 + b"x"))
    return b"".join([*parts, tar_file(short + b"out/escaped", b"new")])


def loop() -> bytes:
    return link(b"a", b"b/c") + link(b"b", b"a/c") + tar_file(b"a/x")


def whiteouts(count: int = 30_000) -> tuple[bytes, bytes]:
    lower = b"".join(block(b"d%d/f%d" % (n % 50, n)) for n in range(count))
    upper = b"".join(
        block(b"d%d/.wh.f%d" % (n % 50, n)) + block(b"d%d/.wh..wh..opq" % (n % 50))
        for n in range(count)
    )
    return lower, upper


THROUGH = ("etc", "etc/f = 'new'", "x -> ../../etc")
LAYERS = [
    # 1: an entry for the root itself that is no directory
    Case(1, "root is a link", "the root itself is replaced, all else then follows it",
         (link(b".", b"/tmp"), tar_file(b"landed")), "LK0601"),
    Case(1, "root is a link by slash", "the same, spelled as an absolute name",
         (link(b"/", b"/tmp"), tar_file(b"landed")), "LK0601"),
    Case(1, "root is a hard link", "the same, by a hard link", (hard(b"./", b"x"),), "LK0601"),
    # 2: names that lead outside
    Case(2, "climbing name", "a name leaves the folder", (tar_file(b"../../etc/x"),), "LK0601"),
    Case(2, "absolute name", "a name starts over at the host's root",
         (tar_file(b"/etc/x"),), "LK0601"),
    Case(2, "climbing in the middle", "a name leaves after a detour",
         (tar_file(b"a/../../x"),), "LK0601"),
    # 3, 4: link resolution that gives up, or is confused
    Case(3, "chain beyond PATH_MAX", "resolving gives up on long paths and is then believed",
         (chain,), "LK0601"),
    Case(3, "links in circles", "resolving never ends, or ends anywhere", (loop,), "LK0607"),
    Case(4, "symlink with mixed dots", "a target that is outside only after resolving",
         (folder(b"a") + link(b"a/l", b"b/../../../x") + tar_file(b"a/l/f", b"new"),),
         ("a", "a/b", "a/l -> b/../../../x", "x", "x/f = 'new'")),
    Case(4, "hard link with dots", "the target of a hard link climbs",
         (folder(b"a") + hard(b"a/l", b"a/../../x"),), "LK0601"),
    Case(4, "hard link through a symlink", "a hard link's target leaves by a symlink",
         (link(b"out", b"../../etc") + hard(b"l", b"out/shadow"),), "LK0608"),
    # 5: metadata through a link
    Case(5, "metadata through a symlink", "a mode is set on what a link points to",
         (tar_file(b"secret", mode=b"0000600\0") + link(b"l", b"secret"),
          folder(b"l", b"0000777\0")),
         ("l 777", "secret 600")),
    # 6: nothing is used after an error
    Case(6, "a bad entry among good ones", "a refused entry does not stop the unpacking",
         (tar_file(b"a") + tar_file(b"../b") + tar_file(b"c"),), "LK0601"),
    # 7-9: numbers and records
    Case(7, "negative size", "a negative size moves the reader back for ever",
         (block(size=base256(-512)),), "LK0602"),
    Case(7, "negative size in pax", "the same in an extended header",
         (pax((b"size", b"-512")) + block(),), "LK0602"),
    Case(7, "negative offset", "the same by a huge size that wraps",
         (block(size=base256(2**64 - 512)),), "LK0605"),
    Case(8, "record of length 0", "a record that never moves on",
         (member(b"x", b"0 a=b\n", b"x") + block(),), "LK0602"),
    Case(8, "record cut short", "the end of an extended header is waited for",
         (block(b"x", b"x", 100) + b"30 path=aaaa",), "LK0602"),
    Case(9, "a mebibyte of digits", "numbers are matched by a pattern that backtracks",
         (lambda: member(b"x", b"1" * (1 << 20), b"x") + block(),), "LK0602"),
    Case(9, "a mebibyte of almost a number", "the same in a header's value",
         (lambda: pax((b"mtime", b"1" * 500_000 + b"." + b"1" * 500_000 + b"x")) + block(),),
         "LK0602"),
    # 10-12: two sizes
    Case(10, "size only in pax", "an inner archive is read where its outer entry has size 0",
         (pax((b"size", b"%d" % len(SMUGGLED))) + block(b"outer.tar") + SMUGGLED + block(b"z"),),
         ("outer.tar 644", "z 644")),
    Case(11, "two sizes", "two readers take two different sizes for true",
         (pax((b"size", b"1024")) + member(b"a", b"x" * 512) + SMUGGLED,), "LK0604"),
    Case(12, "size before a long name", "the size is used for the long name's own header",
         (pax((b"size", b"2048")) + long_name(b"longname.txt") + block(b"cut") + SMUGGLED * 2,),
         "LK0604"),
    Case(12, "size after a long name", "the same in the other order",
         (long_name(b"longname.txt") + pax((b"size", b"1024")) + block(b"cut") + SMUGGLED,),
         "LK0604"),
    # 13, 14, 16, 17: two steps
    Case(13, "file through a link of the layer below", "the second archive trusts the first",
         (link(b"x", b"../../etc"), tar_file(b"x/f", b"new")), THROUGH),
    Case(14, "mode through a hard link", "a mode change reaches a file of the host",
         (hard(b"l", b"etc/shadow") + block(b"l", mode=b"0000777\0"),), "LK0608"),
    Case(14, "mode through a symlink", "the same by a symlink",
         (link(b"l", b"/etc/shadow"), block(b"l", mode=b"0004777\0")), ("l 4777",)),
    *(
        Case(16, f"{what} through a linked parent", "only the text of a name is checked",
             (link(b"x", b"/../../etc"), entry),
             ("etc", line, "x -> /../../etc"))
        for what, entry, line in (
            ("mkdir", folder(b"x/n", b"0000700\0"), "etc/n 700"),
            ("write", tar_file(b"x/f", b"new"), "etc/f = 'new'"),
            ("chmod", block(b"x/f", mode=b"0004755\0"), "etc/f 4755"),
            ("mknod", block(b"x/n", b"3", major=b"0000001\0", minor=b"0000003\0"), "etc/n 1:3"),
            ("symlink", link(b"x/l", b"/y"), "etc/l -> /y"),
            ("xattr", pax((b"SCHILY.xattr.user.a", b"v")) + block(b"x/f"), "etc/f user.a"),
        )
    ),
    *(
        Case(17, f"kind {flag.decode()} climbs", "one operation forgets to check its name",
             (block(b"../x", flag, link=b"y"),), "LK0601")
        for flag in (b"0", b"1", b"2", b"3", b"4", b"5", b"6")
    ),
    # 20, 21: links to the host
    Case(13, "absolute link as a parent", "the same by an absolute target",
         (link(b"x", b"/"), tar_file(b"x/f", b"new")), ("f = 'new'", "x -> /")),
    Case(21, "hard link to the host", "a hard link reads a file of the host",
         (hard(b"l", b"/etc/shadow"),), "LK0601"),
    Case(21, "hard link to the host without slash", "the same, relative to its root",
         (hard(b"l", b"etc/shadow"),), "LK0608"),
    Case(22, "hard link into the working folder", "a relative target is the working folder's",
         (hard(b"l", b"secret.txt"),), "LK0608"),
    # Tricks that belong to no single report.
    Case(0, "one name, two kinds", "a reader takes the first, another the last",
         (folder(b"a") + tar_file(b"a", b"new"),), ("a = 'new'",)),
    Case(0, "folder becomes a file with things inside", "what was inside stays reachable",
         (folder(b"a") + tar_file(b"a/b"), tar_file(b"a", b"new")), ("a = 'new'",)),
    Case(0, "folder becomes a link", "an upper layer redirects the lower one's files",
         (folder(b"a") + tar_file(b"a/b"), link(b"a", b"/etc")), ("a -> /etc",)),
    Case(0, "file as a parent", "a file is walked through", (tar_file(b"a") + tar_file(b"a/b"),),
         "LK0607"),
    Case(0, "whiteout of the parent", "a whiteout's name climbs",
         (folder(b"a"), tar_file(b"a/.wh...")), "LK0609"),
    Case(0, "whiteout of the folder itself", "a whiteout names its own folder",
         (folder(b"a"), tar_file(b"a/.wh..")), "LK0609"),
    Case(0, "opaque mark as a folder", "the mark is a folder with things inside",
         (tar_file(b"a/b"), folder(b"a/.wh..wh..opq") + tar_file(b"a/.wh..wh..opq/x")), "LK0609"),
    Case(0, "hard link to a whiteout", "a name that is never there is linked to",
         (tar_file(b".wh.a") + hard(b"b", b".wh.a"),), "LK0608"),
    Case(0, "whiteout that is a hard link", "the mark repeats a file",
         (tar_file(b"a") + tar_file(b"b"), hard(b".wh.a", b"b")), ("b 644",)),
    Case(0, "file below a whiteout's name", "the reserved prefix is used as a folder",
         (tar_file(b".wh.a/b"),), "LK0609"),
    Case(0, "hard link before its target", "the target comes later",
         (hard(b"a", b"b") + tar_file(b"b"),), "LK0608"),
    Case(0, "hard link to itself", "the entry repeats itself",
         (tar_file(b"a") + hard(b"a", b"a"),), "LK0608"),
    Case(0, "hard link to a folder", "folders have one name",
         (folder(b"d") + hard(b"a", b"d"),), "LK0608"),
    Case(0, "hard link across layers", "the target lies in the layer below",
         (tar_file(b"a", b"old"), hard(b"b", b"a")), ("a = 'old'", "b => a")),
    Case(0, "hard link to what the layer hides", "the target is gone already",
         (tar_file(b"a"), tar_file(b".wh.a") + hard(b"b", b"a")), "LK0608"),
    Case(0, "sparse, old GNU", "holes that each reader fills otherwise",
         (block(b"a", b"S", 512) + bytes(512),), "LK0603"),
    Case(0, "sparse 0.0", "the same in PAX", (pax((b"GNU.sparse.size", b"9")) + block(),),
         "LK0603"),
    Case(0, "sparse 0.1", "the same", (pax((b"GNU.sparse.map", b"0,1")) + block(),), "LK0603"),
    Case(0, "sparse 1.0", "the same",
         (pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"x")) + block(),), "LK0603"),
    Case(0, "garbage behind the end", "a second reader goes on",
         (block() + END + b"garbage",), "LK0602"),
    Case(0, "entry behind the end", "the same", (block() + END + SMUGGLED,), "LK0602"),
    Case(0, "attribute with NUL", "a name is cut short on its way",
         (pax((b"SCHILY.xattr.user.a\0b", b"v")) + block(),), "LK0602"),
    Case(0, "owner beyond 32 bits", "the owner wraps around to root",
         (pax((b"uid", b"4294967296")) + block(),), "LK0606"),
    Case(0, "owner that means no change", "-1 leaves the owner as it is",
         (block(uid=base256(2**32 - 1, 8)),), "LK0606"),
    Case(0, "time before 1970", "negative times are kept by no format of ours",
         (pax((b"mtime", b"-5.5")) + block(),), ("file 644",)),
    Case(0, "time in nanoseconds", "fractions make two builds differ",
         (pax((b"mtime", b"5.999999999")) + block(),), ("file 644",)),
    Case(0, "names that write on terminals", "a name moves the cursor of whoever reads of it",
         (tar_file(b"\x1b[2Ja\nb\t\xff"),), (r"\x1b[2Ja\nb\t\udcff 644",)),
    Case(0, "component too long", "no file system can hold it",
         (pax((b"path", b"x" * 256)) + block(),), "LK0601"),
    Case(0, "names that differ in case", "some file systems know one of them only",
         (tar_file(b"A") + tar_file(b"a"),), ("A 644", "a 644")),
    Case(0, "checksum off by one", "a damaged header is used", (block(off_by=1),), "LK0602"),
    Case(0, "kind NUL", "the oldest way to say file", (block(b"a", b"\0"),), ("a 644",)),
    Case(0, "kind 7", "a file, for those who know no other", (block(b"a", b"7"),), ("a 644",)),
    *(
        Case(0, f"kind {flag.decode()}", "nobody agrees what it is", (block(b"a", flag),), "LK0603")
        for flag in (b"V", b"M", b"D", b"N", b"8", b" ")
    ),
    Case(0, "NUL in a name", "a name is cut short on its way",
         (pax((b"path", b"a\0b")) + block(),), "LK0601"),
    Case(0, "two PAX headers", "which of them counts?",
         (pax((b"path", b"a")) + pax((b"path", b"b")) + block(),), "LK0604"),
    Case(0, "one record twice", "which of them counts?",
         (pax((b"path", b"a"), (b"path", b"b")) + block(),), "LK0604"),
    Case(0, "name for all entries", "a global header renames what comes",
         (pax((b"path", b"a"), flag=b"g") + block(),), "LK0604"),
]  # fmt: skip
