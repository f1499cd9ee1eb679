"""The exact words that users get to see."""

from __future__ import annotations

import json
import textwrap

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import load


def shown(error: Error) -> str:
    """An error as text: place, message, caret, hint."""
    lines = []
    for one in error.all():
        lines.append(str(one))
        if one.where and one.where.caret():
            lines.append(one.where.caret())
        if one.hint:
            lines.append(f"  {one.hint}")
    return "\n".join(lines)


def refused(text: str, *, file: str = "web.yml") -> str:
    with pytest.raises(Error) as caught:
        load.parse(textwrap.dedent(text).lstrip("\n"), file)
    return shown(caught.value)


def expect(text: str, message: str) -> None:
    assert refused(text) == textwrap.dedent(message).strip("\n")


def test_unknown_key():
    expect(
        """
        services:
          - name: web
            image: nginx
            comand: ["x"]
        """,
        """
        web.yml:4:5: unknown key "comand" in services[0] [LK0203]
              comand: ["x"]
              ^^^^^^
          did you mean "command"?
        """,
    )


def test_unknown_key_at_the_top_names_the_file():
    expect(
        "sevices: []\n",
        """
        web.yml:1:1: unknown key "sevices" in web.yml [LK0203]
          sevices: []
          ^^^^^^^
          did you mean "services"?
        """,
    )


def test_unknown_key_like_no_other_lists_them_all():
    expect(
        "kernel: {dtbs: x}\n",
        """
        web.yml:1:10: unknown key "dtbs" in kernel [LK0203]
          kernel: {dtbs: x}
                   ^^^^
          known keys: image, cmdline, binary, tar, ucode
        """,
    )


def test_wrong_type():
    expect(
        """
        services:
          - name: web
            image: nginx
            binds: /a:/b
        """,
        """
        web.yml:4:12: services[0].binds must be a list, not a text [LK0204]
              binds: /a:/b
                     ^^^^^
          write ["/a:/b"]
        """,
    )


def test_a_command_line_where_a_list_is_meant():
    expect(
        """
        services:
          - name: web
            image: nginx
            command: sleep 10
        """,
        """
        web.yml:4:14: services[0].command must be a list, not a text [LK0204]
              command: sleep 10
                       ^^^^^^^^
          write ["sleep", "10"]
        """,
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/bin/app", ["/bin/app"]),
        ("nginx -g 'daemon off;'", ["nginx", "-g", "daemon off;"]),
        ('echo "a b" c\\ d', ["echo", "a b", "c d"]),
        ("sh -c 'a | b'", ["sh", "-c", "a | b"]),
        ("sleep 10\n", ["sleep", "10"]),
        ("10", ["10"]),
        ("a | b", ["/bin/sh", "-c", "a | b"]),
        ("echo $HOME", ["/bin/sh", "-c", "echo $HOME"]),
        ('echo "$HOME"', ["/bin/sh", "-c", 'echo "$HOME"']),
        ("LANG=C ls", ["/bin/sh", "-c", "LANG=C ls"]),
        ("ls --color=never", ["ls", "--color=never"]),
        ("echo it's", ["/bin/sh", "-c", "echo it's"]),
        ("cd /\nls", ["/bin/sh", "-c", "cd /\nls"]),
    ],
)
@pytest.mark.parametrize("key", ["command", "health.exec", "ready.exec"])
def test_what_is_suggested_for_a_command_line_is_what_a_shell_makes_of_it(command, words, key):
    outer, _, inner = key.partition(".")
    wrong = {inner: command} if inner else command
    entry = {"name": "web", "image": "nginx", outer: wrong}
    with pytest.raises(Error) as caught:
        load.parse(json.dumps({"services": [entry]}), "web.yml")
    assert caught.value.code == "LK0204"
    suggested = caught.value.hint.partition("write ")[2]
    assert json.loads(suggested) == words
    entry[outer] = {inner: json.loads(suggested)} if inner else json.loads(suggested)
    load.parse(json.dumps({"services": [entry]}), "web.yml")


def test_a_long_command_line_is_not_written_out():
    message = refused(f"services: [{{name: web, image: nginx, command: app {'x' * 300}}}]")
    assert message.endswith("write a list: the program, then each of its arguments")


def test_number_where_a_text_is_meant():
    expect(
        """
        services:
          - name: web
            image: nginx
            sysctl:
              net.ipv4.ip_forward: 1
        """,
        """
        web.yml:5:28: services[0].sysctl.net.ipv4.ip_forward must be a text, not the number 1 [LK0204]
                net.ipv4.ip_forward: 1
                                     ^
          put it in quotes: "1"
        """,
    )


def test_truth_value_of_yaml_1_1():
    expect(
        """
        services:
          - name: web
            image: nginx
            readonly: yes
        """,
        """
        web.yml:4:15: services[0].readonly must be true or false, not a text [LK0204]
              readonly: yes
                        ^^^
          write true
        """,
    )


def test_nothing():
    expect(
        "services:\n",
        """
        web.yml:1:10: services must be a list, not nothing [LK0204]
          services:
                   ^
          leave the key out or write []
        """,
    )


def test_missing_key():
    expect(
        """
        services:
          - name: web
        """,
        """
        web.yml:2:5: services[0] has no "image" [LK0205]
            - name: web
              ^
          image: the image it runs
        """,
    )


def test_duplicate_key():
    expect(
        """
        kernel:
          image: a
        init: []
        kernel:
          image: b
        """,
        """
        web.yml:4:1: duplicate key "kernel" [LK0206]
          kernel:
          ^^^^^^
          the first one is in line 1: keep one of them
        """,
    )


def test_yaml_syntax_error():
    expect(
        """
        services:
          - name: web
             image: nginx
        """,
        """
        web.yml:3:11: a ":" cannot stand here [LK0201]
               image: nginx
                    ^
          mend the indentation, or put the text in quotes if the ":" is part of it
        """,
    )


def test_a_package_without_quotes():
    expect(
        "init: [@pkg:init]\n",
        """
        web.yml:1:8: a value cannot begin with "@" [LK0201]
          init: [@pkg:init]
                 ^
          put the text in quotes
        """,
    )


def test_tab():
    expect(
        "kernel:\n\timage: x\n",
        """
        web.yml:2:1: a tab cannot be used to indent [LK0201]
          \timage: x
          ^
          use spaces
        """,
    )


def test_bad_image():
    expect(
        "init: ['UPPER CASE:tag']\n",
        """
        web.yml:1:8: "UPPER CASE:tag" is not an image reference: it holds white space or control characters [LK0302]
          init: ['UPPER CASE:tag']
                 ^^^^^^^^^^^^^^^^
          take them out
        """,
    )


def test_several_errors_at_once():
    expect(
        """
        kernel: {image: 7, binry: k}
        services:
          - name: a/b
            image: nginx
            capabilities: [CAP_NET_ADMN]
            rlimits: ["nofile,1"]
          - nginx
        files:
          - path: etc/x
          - path: etc/y
            contents: a
            source: b
            mode: rw
        """,
        """
        web.yml:1:17: kernel.image must be a text, not the number 7 [LK0204]
          kernel: {image: 7, binry: k}
                          ^
          put it in quotes: "7"
        web.yml:1:20: unknown key "binry" in kernel [LK0203]
          kernel: {image: 7, binry: k}
                             ^^^^^
          did you mean "binary"?
        web.yml:3:11: "a/b" is not a name for a container [LK0208]
            - name: a/b
                    ^^^
          a name has letters, digits, "_", ".", "+" and "-", and begins with none of ".+-"
        web.yml:5:20: unknown capability "CAP_NET_ADMN" [LK0208]
              capabilities: [CAP_NET_ADMN]
                             ^^^^^^^^^^^^
          did you mean "CAP_NET_ADMIN"?
        web.yml:6:15: "nofile,1" is not a limit [LK0208]
              rlimits: ["nofile,1"]
                        ^^^^^^^^^^
          write "nofile,1024,2048"
        web.yml:7:5: services[1] must be a map of keys, not a text [LK0204]
            - nginx
              ^^^^^
        web.yml:9:5: files[0] has no content [LK0205]
            - path: etc/x
              ^^^^
          give it one of contents, source, metadata, directory or symlink
        web.yml:13:11: "rw" is not a mode [LK0208]
              mode: rw
                    ^^
          write octal digits, such as "0644"
        """,
    )


def test_rules_between_entries():
    expect(
        """
        kernel: {cmdline: quiet}
        volumes:
          - name: data
            readonly: true
          - name: data
        services:
          - name: web
            image: nginx
            binds: ["dta:/x", "data:/y", "/etc:/etc"]
            uid: "7"
            additionalGids: [wbe]
          - name: web
            image: nginx
        """,
        """
        web.yml:1:9: kernel has no "image" [LK0205]
          kernel: {cmdline: quiet}
                  ^
          name its image, or leave the kernel out
        web.yml:5:11: volume "data" is there twice [LK0209]
            - name: data
                    ^^^^
          the first one is at web.yml:3:11: rename one of them
        web.yml:9:13: no volume is called "dta" [LK0211]
              binds: ["dta:/x", "data:/y", "/etc:/etc"]
                      ^^^^^^^^
          did you mean "data"?
        web.yml:10:10: no container is called "7" [LK0211]
              uid: "7"
                   ^^^
          write the number without quotes: 7
        web.yml:11:22: no container is called "wbe" [LK0211]
              additionalGids: [wbe]
                               ^^^
          did you mean "web"?
        web.yml:12:11: service "web" is there twice [LK0209]
            - name: web
                    ^^^
          the first one is at web.yml:7:11: rename one of them
        """,
    )


def test_read_only_volume():
    text = """
        volumes:
          - {name: data, readonly: true}
        services:
          - name: web
            image: nginx
            mounts:
              - {type: bind, source: data, destination: /x}
        """
    expect(
        text,
        """
        web.yml:7:30: volume "data" is read-only and cannot be mounted writable [LK0208]
                - {type: bind, source: data, destination: /x}
                                       ^^^^
          add the option "ro"
        """,
    )
    load.parse(textwrap.dedent(text.replace("/x}", "/x, options: [rbind, ro]}")))


def test_missing_file(tmp_path):
    (tmp_path / "web.yml").write_text("{}")
    with pytest.raises(Error) as caught:
        load.load([tmp_path / "wep.yml"])
    assert shown(caught.value) == (
        f"there is no file {tmp_path}/wep.yml [LK0210]\n  did you mean {tmp_path}/web.yml?"
    )
    with pytest.raises(Error) as caught:
        load.load([tmp_path / "web"])
    assert caught.value.hint == f"did you mean {tmp_path}/web.yml?"
    with pytest.raises(Error) as caught:
        load.load([tmp_path / "none" / "web.yml"])
    assert caught.value.hint == f"there is no folder {tmp_path}/none either"
    with pytest.raises(Error) as caught:
        load.load([tmp_path])
    assert shown(caught.value) == f"{tmp_path} is a folder [LK0210]\n  name the YAML file in it"


def test_errors_of_all_files_come_at_once(tmp_path):
    (tmp_path / "a.yml").write_text("inti: []\n")
    (tmp_path / "b.yml").write_text("init: [\n")
    with pytest.raises(Error) as caught:
        load.load([tmp_path / "a.yml", tmp_path / "b.yml", tmp_path / "c.yml"])
    assert [error.code for error in caught.value.all()] == ["LK0201", "LK0210", "LK0203"]
    (tmp_path / "b.yml").write_text("services: [{name: a, override: true, net: new}]\n")
    (tmp_path / "c.yml").write_text("variables: {A: }\ninit: ['x:${A}']\n")
    with pytest.raises(Error) as caught:
        load.load([tmp_path / "b.yml", tmp_path / "c.yml", tmp_path / "d.yml"])
    assert caught.value.code == "LK0210"
    assert len(caught.value.all()) == 1
