"""Packages sent to a registry and read again by others."""

from __future__ import annotations

import json
import subprocess

from support.package_tree import lock, pkg
from support.registry import NAME, running
from support.tools import need


def peek(hub, name, *words):
    skopeo = need("skopeo")
    argv = [skopeo, "inspect", "--tls-verify=false", *words, f"docker://{hub.host}/{name}"]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


def test_push_and_what_others_read(tree, hub, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
    lock(tree)
    (tree.root / "tool" / "new").write_text("not committed")
    assert pkg("push", "tool") == 1
    assert "LK0583" in capsys.readouterr().err
    tree.commit()
    tag = tree.tag("tool")
    assert pkg("push", "tool", "--release", "v1") == 0
    listed = peek(hub, f"team/tool:{tag}", "--raw")
    assert [m["platform"]["architecture"] for m in listed["manifests"]] == ["amd64"]
    assert peek(hub, "team/tool:v1", "--raw") == listed
    assert peek(hub, f"team/tool:{tag}-amd64")["Labels"]["org.mobyproject.config"] == '{"readonly":true}'
    # Another platform's image, sent by somebody else, stays in the index.
    foreign = {**listed["manifests"][0], "platform": {"os": "linux", "architecture": "s390x"}}
    put(hub, f"team/tool/manifests/{tag}", {**listed, "manifests": [foreign]})
    assert pkg("push", "tool") == 0
    listed = peek(hub, f"team/tool:{tag}", "--raw")
    assert [m["platform"]["architecture"] for m in listed["manifests"]] == ["amd64", "s390x"]
    # A release stays what it was.
    assert pkg("push", "tool", "--release", "v1") == 1
    assert "LK0328" in capsys.readouterr().err
    # What a fresh store does: it is there, so nothing is built; --pull brings it.
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "fresh"))
    assert pkg("build", "tool") == 0
    assert pkg("build", "tool", "--pull") == 0
    out = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split("  ")[1] for line in out] == ["in the registry", "pulled"]
    read_by_others(tmp_path, hub, f"team/tool:{tag}")


def put(hub, path, value):
    import urllib.request

    request = urllib.request.Request(
        f"http://{hub.host}/v2/{path}", json.dumps(value).encode(),
        {"Content-Type": "application/vnd.oci.image.index.v1+json"}, method="PUT",
    )  # fmt: skip
    urllib.request.urlopen(request).close()


def read_by_others(tmp_path, hub, name):
    """What skopeo copies from the registry, umoci unpacks."""
    source, layout = f"docker://{hub.host}/{name}", tmp_path / "oci"
    argv = [need("skopeo"), "copy", "--quiet", "--src-tls-verify=false", source, f"oci:{layout}:x"]
    subprocess.run(argv, check=True)
    assert unpacked_by_umoci(f"{layout}:x", tmp_path / "bundle") == b"1.0-1"


def unpacked_by_umoci(image, bundle):
    """A file of the image; Debian's umoci knows gzip and no zstd."""
    subprocess.run([need("umoci"), "unpack", "--rootless", "--image", image, bundle], check=True)
    return (bundle / "rootfs/usr/bin/web").read_bytes()


def test_umoci_unpacks_what_is_in_the_store(tree, tmp_path):
    lock(tree)
    assert pkg("build", "tool") == 0
    names = [name for name, _ in tree.store.names() if ":sha256-" not in name]
    assert len(names) == 2
    for n, name in enumerate(names):
        assert unpacked_by_umoci(f"{tree.store.root}:{name}", tmp_path / str(n)) == b"1.0-1"


def test_an_index_of_what_is_there_and_other_names(tree, hub, capsys, monkeypatch):
    monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
    lock(tree)
    assert pkg("manifest", "tool") == 1
    assert "LK0584" in capsys.readouterr().err
    assert pkg("push", "tool", "--manifest", "false") == 0
    tag = tree.tag("tool")
    name = f"{hub.host}/team/tool:{tag}"
    assert capsys.readouterr().out.splitlines()[-1] == f"{name}-amd64  sent"
    assert pkg("index", "tool") == 0
    assert capsys.readouterr().out == f"{name}  linux/amd64\n"
    raw = peek(hub, f"team/tool:{tag}", "--raw")
    assert pkg("remote-tag", name, f"{hub.host}/team/tool:again") == 0
    assert pkg("remote-tag", name, f"{hub.host}/other/name:1") == 0
    assert peek(hub, "team/tool:again", "--raw") == raw
    assert peek(hub, "other/name:1", "--raw") == raw
    assert peek(hub, "other/name:1")["Architecture"] == "amd64"
    assert pkg("remote-tag", f"{hub.host}/team/tool:none", f"{hub.host}/other/name:2") == 1
    assert "LK0320" in capsys.readouterr().err


def test_a_builders_configuration_leads_to_the_mirror(tree, capsys, monkeypatch, tmp_path):
    """Upstream hands it to its builder, which starts anew when it has changed; here nothing can have an old one."""
    with running(tmp_path / "registry", tls=True) as hub:
        lock(tree)
        monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
        assert pkg("push", "tool", "--cert-file", hub.cert) == 0
        monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{NAME}/team")
        config = tmp_path / "buildkitd.toml"
        mirror = f'[registry."{NAME}"]\nmirrors = ["{hub.host}"]\n'
        trust = f'[registry."{hub.host}"]\nca = ["{hub.cert}"]\n'
        for text, said in ((mirror, "built"), (mirror + trust, "pulled")):  # what is not trusted has nothing
            config.write_text(text)
            monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / said))
            capsys.readouterr()
            assert pkg("build", "--pull", "--builder-config", config, "tool") == 0
            assert capsys.readouterr().out.split()[-1] == said, text
        assert pkg("build", "--builder-config", tmp_path / "none", "tool") == 2
        assert f"{tmp_path}/none" in capsys.readouterr().err
