"""Entries of a later file that change or remove those of an earlier one."""

from __future__ import annotations

import textwrap

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import load, metadata

BASE = """\
volumes: [{name: v}]
onboot:
  - {name: a, image: x}
  - {name: a, image: y}
  - {name: b, image: z}
services:
  - name: web
    image: nginx:1
    env: [A=1]
    runtime: {mkdir: [/a], cgroups: [c], bindNS: {net: /n, ipc: /i}}
files:
  - {path: /etc/motd, contents: hello, mode: "0644"}
  - {path: etc/issue, contents: hello}
"""


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def loaded(*texts: str):
        names = [f"{number}.yml" for number in range(1, len(texts) + 1)]
        for name, text in zip(names, texts, strict=True):
            (tmp_path / name).write_text(textwrap.dedent(text))
        return load.load(names)

    return loaded


def test_an_entry_is_changed_key_by_key(loaded):
    spec = loaded(
        BASE,
        """\
        services:
          - name: web
            override: true
            image: nginx:2
            net: new
            runtime: {mkdir: [/b], bindNS: {net: /m}}
          - name: other
            image: x
        """,
    )
    web, other = spec.services
    assert (str(web.image), web.env, web.net) == ("docker.io/library/nginx:2", ("A=1",), "new")
    assert (web.runtime.mkdir, web.runtime.cgroups) == (("/b",), ("c",))
    assert (web.runtime.bind_ns.net, web.runtime.bind_ns.ipc) == ("/m", "/i")
    assert (web.override, other.name) == (None, "other")
    places = {
        (): "1.yml:7:5", ("image",): "2.yml:4:12", ("env",): "1.yml:9:10", ("net",): "2.yml:5:10",
        ("runtime", "mkdir", 0): "2.yml:6:23", ("runtime", "cgroups"): "1.yml:10:37",
    }  # fmt: skip
    for path, place in places.items():
        assert str(spec.where(("services", 0, *path))) == place
    assert str(spec.where(("services", 1))) == "2.yml:7:5"
    assert b"override" not in metadata.render(spec, "yaml")


def test_entries_are_removed(loaded):
    spec = loaded(
        BASE,
        """\
        volumes: [{name: v, remove: true}]
        onboot: [{name: b, remove: true}, {name: c, image: q, remove: false}]
        services: [{name: web, remove: true}]
        files: [{path: etc/motd, remove: true}]
        """,
    )
    assert [step.name for step in spec.onboot] == ["a", "a", "c"]
    assert (spec.volumes, spec.services) == ((), ())
    assert [file.path for file in spec.files] == ["etc/issue"]


def test_a_file_gets_another_content(loaded):
    spec = loaded(BASE, "files: [{path: etc/motd, override: true, symlink: /run/motd}]\n")
    motd, _ = spec.files
    assert (motd.symlink, motd.contents, str(motd.mode)) == ("/run/motd", None, "0644")


def test_a_third_file_changes_what_the_second_left(loaded):
    change = "services: [{name: web, override: true, image: 'nginx:%d', cwd: /%d}]\n"
    more = "services: [{name: web, remove: true}, {name: web, image: new}]\n"
    (web,) = loaded(
        BASE, change % (2, 2), "services: [{name: web, override: true, env: []}]"
    ).services
    assert (str(web.image), web.cwd, web.env) == ("docker.io/library/nginx:2", "/2", ())
    (web,) = loaded(BASE, more, "services: [{name: web, override: true, cwd: /x}]").services
    assert (str(web.image), web.cwd, web.env) == ("docker.io/library/new", "/x", None)


def test_what_an_alias_shares_stays_as_it_was(loaded):
    spec = loaded(
        "onboot: &all [{name: a, image: x}]\nonshutdown: *all\n",
        "onboot: [{name: a, override: true, image: y}]\n",
    )
    assert str(spec.onboot[0].image) == "docker.io/library/y"
    assert str(spec.onshutdown[0].image) == "docker.io/library/x"


MISTAKES = [
    ("services: [{name: wbe, override: true}]",
     '2.yml:1:19: no earlier file has a service called "wbe" [LK0221]', 'did you mean "web"?'),
    ("onboot: [{name: q, remove: true}]",
     '2.yml:1:17: no earlier file has an onboot entry called "q" [LK0221]', ""),
    ("onboot: [{name: a, remove: true}]",
     '2.yml:1:17: several earlier entries of onboot are called "a" [LK0221]',
     "rename one of them, so that it is clear which one is meant"),
    ("services: [{name: web, remove: true, override: true}]",
     "2.yml:1:24: the service has both override and remove [LK0212]", "keep one of them"),
    ("services: [{name: web, remove: true, image: x}]",
     '2.yml:1:38: remove and "image" exclude each other [LK0212]', ""),
    ("services: [{name: web, override: yes}]",
     "2.yml:1:34: override must be true or false, not a text [LK0204]", ""),
    ("services: [{override: true, image: x}]",
     '2.yml:1:12: the service has no "name" [LK0205]', "it says which earlier one is meant"),
    ("services: [{name: web, override: true, nte: new}]",
     '2.yml:1:40: unknown key "nte" in services[0] [LK0203]', 'did you mean "net"?'),
    ("services: [{name: new, image: x}, {name: new, override: true}]",
     '2.yml:1:42: no earlier file has a service called "new" [LK0221]', ""),
    ("services: [{name: web, image: x}]",
     '2.yml:1:19: service "web" is there twice [LK0209]',
     "the first one is at 1.yml:7:11: rename one of them, or change it with override: true"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES)
def test_mistakes(loaded, text, message, hint):
    with pytest.raises(Error) as caught:
        loaded(BASE, text)
    error = caught.value.all()[0]
    assert (str(error), error.hint) == (message, hint)


def test_one_file_alone_has_nothing_to_change():
    with pytest.raises(Error, match="LK0221"):
        load.parse("services: [{name: a, image: x, override: true}]")
