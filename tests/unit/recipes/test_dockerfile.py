"""What Dockerfiles build upon, and the arguments that they are given."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.buildargs import Line, expand, lines_of, packages
from linuxkit.recipes.dockerfile import bases
from linuxkit.recipes.gittag import reference

CASES = {
    "FROM scratch": (),
    "FROM alpine:3\nRUN x": ("alpine:3",),
    "from --platform=$BUILDPLATFORM a AS b\nFROM b AS c\nFROM c\nFROM d": ("a", "d"),
    "ARG V=3\nFROM a:${V}": ("a:3",),
    "ARG V\nFROM a:${V:-9}": ("a:9",),
    'ARG R="x/y"\nARG I=$R/z\nFROM $I': ("x/y/z",),
    "ARG V='1'\nFROM a$V${V:+-plus}": ("a1-plus",),
    "ARG GIVEN=no\nFROM ${GIVEN}": ("yes",),
    "FROM a\nARG V=1\nFROM b:${V:-none}": ("a", "b:none"),
    "# FROM no\nFROM \\\n  a \\\n# a comment between\n  AS b\nCOPY --from=b x y\n"
    "COPY --chown=1 --from=c x y\nCOPY --from=0 x y": ("a", "c"),
    "FROM a\nRUN --mount=type=bind,from=tools,target=/t x": ("a", "tools"),
    "# escape=`\nFROM `\n a": ("a",),
    "FROM a\nFROM a": ("a",),
}


@pytest.mark.parametrize("text", CASES)
def test_bases(text):
    assert tuple(bases(text, {"GIVEN": "yes"}, "Dockerfile")) == CASES[text]


@pytest.mark.parametrize(("text", "place"), [
    ("# c\n\nFROM alpine:3", (3, 6, "FROM alpine:3", 8)),
    ("ARG M=m\nfrom --platform=x \\\n# no\n\t$M AS b\r\n", (4, 2, "\t$M AS b", 2)),
    ("FROM scratch\nRUN x m \\\n  --mount=from=m,type=bind y", (3, 16, "  --mount=from=m,type=bind y", 1)),
    ("FROM scratch\nCOPY --from=m m m", (2, 13, "COPY --from=m m m", 1)),
    ('FROM "m"\nFROM m', (1, 6, 'FROM "m"', 3)),
    (f"FROM {'m' * 200}", (1, 1, "", 1)),
])  # fmt: skip
def test_where_an_image_is_named(text, place):
    (where,) = bases(text, {}, "d/Dockerfile").values()
    assert where == ("d/Dockerfile", *place)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name, image in (("one", "one-a/b"), ("two", "two"), ("own", "own"), (".hidden", "x")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "build.yml").write_text(f"image: {image}\n")
    (tmp_path / "file").write_text("")
    return tmp_path


def test_arguments_from_a_file(folders):
    own = folders / "own"
    file = folders / "args"
    file.write_text("A=1\nB=x=y\nONE=@lkt:pkg:./one\nALL_%=@lkt:pkgs:./*\nA=2\n")
    lines = lines_of(file)
    assert expand(lines, own) == {
        "A": "2", "B": "x=y", "ONE": reference(folders / "one"),
        "ALL_ONE_A_B": "linuxkit/one-a/b:latest", "ALL_TWO": "linuxkit/two:latest",
    }  # fmt: skip
    assert {path.name for path in packages(lines, own)} == {"one", "two"}
    absolute = Line(f"X=@lkt:pkg:{folders}/two", own / "build.yml")
    assert expand([absolute], own) == {"X": "linuxkit/two:latest"}


@pytest.mark.parametrize("text", [
    "", "# comment", "A", "=x", "1A=x", "A=@lkt:", "A=@lkt:other:x", "A=@lkt:pkg:./none",
    "A=@lkt:pkgs:./*", "A_%=@lkt:pkg:./one", "A_%=@lkt:pkgs:./none*",
])  # fmt: skip
def test_arguments_that_are_none(folders, text):
    with pytest.raises(Error) as caught:
        expand([Line(text, folders / "args")], folders / "own")
    assert caught.value.code == "LK0568"
