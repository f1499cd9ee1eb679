"""What a configuration is read from: includes and URLs."""

from __future__ import annotations

import http.server
import threading

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import documents, load
from linuxkit.spec.inputs import Input, Web


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)

    return write


def test_what_is_included_comes_first(write):
    write(
        {
            "top.yml": "include: [lib/a.yml, lib/b.yml]\ninit: [top]\nkernel: {cmdline: top}\n",
            "lib/a.yml": "include: [c.yml]\ninit: [a]\nkernel: {image: k, cmdline: a}\n",
            "lib/b.yml": "include: [../lib/c.yml]\ninit: [b]\n",
            "lib/c.yml": "init: [c]\nservices: [{name: s, image: x}]\n",
        }
    )
    spec = load.load(["top.yml", "lib/b.yml"])
    names = [ref.name.rpartition("/")[2] for ref in spec.init]
    assert names == ["c", "a", "b", "top", "b"]
    assert spec.kernel.cmdline == "top"
    assert str(spec.where(("services", 0))) == "lib/c.yml:2:12"


def test_an_included_entry_can_be_changed(write):
    write(
        {
            "top.yml": "include: [base.yml]\nservices: [{name: s, override: true, cwd: /y}]\n",
            "base.yml": "services: [{name: s, image: x}]\n",
        }
    )
    (service,) = load.load(["top.yml"]).services
    assert (str(service.image), service.cwd) == ("docker.io/library/x", "/y")


def test_standard_input_includes_from_the_current_folder(write):
    write({"a.yml": "init: [a]\n"})
    assert len(load.load(["-"], stdin=b"include: [a.yml]\ninit: [b]\n").init) == 2


MISTAKES = [
    ({"a.yml": "include: [a.yml]"}, 'a.yml:1:11: "a.yml" includes itself [LK0219]'),
    ({"a.yml": "include: [b.yml]", "b.yml": "include: [./a.yml]"},
     'b.yml:1:11: "./a.yml" includes itself [LK0219]'),
    ({"a.yml": "include: [c.yml]"}, "a.yml:1:11: there is no file c.yml [LK0210]"),
    ({"a.yml": "include: ['-']"}, "a.yml:1:11: standard input cannot be included [LK0219]"),
    ({"a.yml": "include: a"}, "a.yml:1:10: include must be a list, not a text [LK0204]"),
    ({"a.yml": "include: [b.yml]", "b.yml": "x: 1"},
     'b.yml:1:1: unknown key "x" in b.yml [LK0203]'),
    ({"a.yml": "include: [b.yml]", "b.yml": "["}, "b.yml:1:1: a value is missing here [LK0201]"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "message"), MISTAKES)
def test_mistakes(write, files, message):
    write(files)
    with pytest.raises(Error) as caught:
        load.load(["a.yml"])
    assert str(caught.value) == message


def test_depth_and_number_are_limited(write):
    count = documents.DEPTH_LIMIT
    write({f"{n}.yml": f"include: [{n + 1}.yml]\n" for n in range(count)} | {f"{count}.yml": "{}"})
    with pytest.raises(Error, match=r'"16.yml" is included more than 16 deep \[LK0219\]'):
        load.load(["0.yml"])
    assert load.load(["1.yml"]) is not None
    write({f"m{n}.yml": "{}" for n in range(101)})
    write({"many.yml": "include: [" + ", ".join(f"m{n}.yml" for n in range(101)) + "]"})
    with pytest.raises(Error, match="more than 100 files"):
        load.load(["many.yml"])


def test_the_length_of_included_files_is_limited(write, monkeypatch):
    monkeypatch.setattr(documents.yaml, "TEXT_LIMIT", 1 << 20)
    filler = "#" + "x" * 600_000 + "\n{}"
    write({"a.yml": "include: [b.yml, c.yml]", "b.yml": filler, "c.yml": filler})
    with pytest.raises(Error, match=r"a.yml:1:18: included files have more than 1 Mi characters"):
        load.load(["a.yml"])


@pytest.fixture
def server(tmp_path):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_urls(write, server):
    write(
        {
            "a/top.yml": "include: [base.yml, ../c.yml]\ninit: [a]\n",
            "a/base.yml": "init: [b]\n",
            "c.yml": f"init: [c]\ninclude: ['{server}/d.yml']\n",
            "d.yml": "inti: [d]\n",
        }
    )
    with pytest.raises(Error) as caught:
        load.load([f"{server}/a/top.yml"])
    assert str(caught.value).startswith(f'{server}/d.yml:1:1: unknown key "inti"')
    write({"d.yml": "init: [d]\n"})
    spec = load.load([f"{server}/a/top.yml"])
    assert [ref.name[-1] for ref in spec.init] == ["b", "d", "c", "a"]
    with pytest.raises(Error) as caught:
        load.load([f"{server}/none.yml"])
    assert caught.value.code == "LK0411"
    with pytest.raises(Error, match="LK0402"):
        load.load([f"{server}/a/top.yml"], offline=True)


def test_a_password_in_a_url_is_not_shown():
    given = Input("https://me:secret@host/a.yml")
    assert given.name == "https://***@host/a.yml"
    assert given.beside("b.yml").address == "https://me:secret@host/b.yml"
    with pytest.raises(Error) as caught:
        given.read(stdin=None, remote=Web(offline=True))
    assert str(caught.value) == f"{given.name} cannot be read without the network [LK0402]"


def test_a_url_does_not_reach_into_the_machine():
    outer = Input("http://host/a/b.yml")
    assert outer.beside("/c.yml").address == "http://host/c.yml"
    assert outer.beside("../../../etc/passwd").address == "http://host/etc/passwd"
    with pytest.raises(Error, match="LK0210"):
        outer.beside("file:///etc/passwd")
