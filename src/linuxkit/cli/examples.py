"""What help shows of each command in use; a test holds every line against the parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linuxkit.cli.arguments import Parser

_MOST = 6  # of the commands below one

EXAMPLES = {
    "build": (
        ("build web.yml", "web-kernel, web-initrd.img and web-cmdline"),
        ("build -f raw-efi,iso-bios --dir out web.yml", "a disk and a CD, in the folder out"),
        ("build -f qcow2-bios --size 4G web.yml", "a disk of 4 GiB"),
        ("build --name web base.yml web.yml", "two files, merged in this order"),
        ("build --size web.yml", "also tell what each part takes"),
        ("build -f tar -o - web.yml | tar t", "the root file system, into a pipe"),
        ("build --offline --locked web.yml", "nothing from the network, nothing unpinned"),
    ),
    "run": (
        ("run web --publish 8080:80", "its page is at http://localhost:8080"),
        ("run qemu --cpus 2 --mem 2048 --disk size=1G web", "2 processors, 2048 MiB, a new disk"),
        ("run web-efi.img", "a disk image, with the firmware that it wants"),
        ("run --detach --name w1 web", "in the background: ps, logs, exec, stop"),
        ("run --timeout 60 web", "for a script: ended after 60 seconds, status 124"),
    ),
    "ps": (("ps", "all machines"), ("ps web", "what runs in one")),
    "logs": (("logs -f web", "the console, as it grows"),
             ("logs web nginx", "what a service said")),
    "exec": (("exec web nginx -- nginx -t", "`--` keeps the flags behind it the command's"),),
    "learn": (("learn web", "NAME.seccomp.json of every unit"),
              ("learn --add web nginx", "add to what nginx.seccomp.json has")),
    "stop": (("stop web", "the machine"), ("stop web nginx", "a service in it")),
    "boot-report": (("boot-report web", "a machine in the background"),
                    ("boot-report --report boot.json --svg boot.svg", "what `run --report` wrote")),
    "validate": (("validate base.yml web.yml", "two files, as `build` would merge them"),
                 ("validate --json web.yml", "for editors")),
    "audit": (("audit --threshold 4 web.yml", "status 1 above 4 of 10"),
              ("audit --all --markdown web.yml", "tables with the rows that pass, too")),
    "config render": (("config render base.yml web.yml", "what the two come to"),
                      ("config render --set name=web web.yml", "with a variable set")),
    "explain": (("explain web.yml", "every image of a file"),
                ("explain alpine:3.20", "one image"),
                ('explain "@pkg:nginx"', "a stock package")),
    "schema": (("schema > linuxkit.schema.json", "for an editor"),),
    "lock": (("lock web.yml", "write what is missing"),
             ("lock web.yml --update", "take everything anew"),
             ("lock web.yml --update nginx --arch arm64", "one package, for one architecture"),
             ("lock --check web.yml", "for CI: status 1 when there is something to write")),
    "fetch": (("fetch web.yml", "then: linuxkit build --offline web.yml"),),
    "bundle export": (("bundle export -o web.bundle.tar web.yml", "where there is a network"),),
    "bundle import": (("bundle import --lock linuxkit.lock web.bundle.tar", "where not"),),
    "sign": (("sign --generate-key my.key", "my.key and my.key.pub"),
             ("sign --key my.key --push registry.example/web:1", "sign, and send the signature")),
    "verify": (("verify --key my.key.pub registry.example/web:1", "by one key"),
               ("verify registry.example/web:1", "as the trust policies want it")),
    "keys new": (("keys new keys", "then: linuxkit build -f uki --sign keys web.yml"),),
    "keys enroll": (("keys enroll keys", "also keys/enroll.img, a stick for machines"),),
    "keys check": (("keys check keys web.efi", "signed by keys/db.key?"),),
    "measure": (("measure web.efi", "without Secure Boot"),
                ("measure --keys keys --check pcrs.txt web.efi", "against what a guest has told")),
    "update create": (("update create --key my.key web", "web.update, of web.efi"),),
    "update push": (("update push web.update registry.example/web:2", "where machines find it"),),
    "new": (("new web > web.yml", "then: linuxkit build web.yml"),),
    "pkg ls": (("pkg ls", "names and tags of the stock packages"),),
    "pkg lock": (("pkg lock my/package", "which .debs it is made of"),
                 ("pkg lock --check my/package", "for CI: status 1 when it is not up to date")),
    "pkg show-tag": (("pkg show-tag my/package", "as in me/package:HASH-OF-ITS-FOLDER"),),
    "pkg manifest": (("pkg manifest my/package", "of what `pkg push --manifest false` sent"),),
    "pkg index": (("pkg index my/package", "the same as pkg manifest"),),
    "pkg remote-tag": (("pkg remote-tag registry.example/web:1 host.example/web:1", "over there"),),
    "pkg build": (("pkg build my/package", "for all that its build.yml names"),
                  ("pkg build --platforms linux/arm64 my/package", "for one"),
                  ("pkg build --all --push packages", "every package below a folder, in order")),
    "pkg push": (("pkg push --release v1.2 my/package", "under its hash and the tag v1.2"),),
    "pkg builder du": (("pkg builder du", "in bytes"),),
    "pkg builder prune": (("pkg builder prune", "free the space"),),
    "kernel config": (("kernel config", "list the flavours"),
                      ("kernel config cloud", "one, with reasons")),
    "kernel check": (("kernel check", "our own"),
                     ("kernel check /boot/config-6.12", "this machine's")),
    "kernel diff": (("kernel diff @pkg:kernel @pkg:kernel-hardened", "two images"),
                    ("kernel diff old.config new.config", "two files")),
    "cache ls": (("cache ls --json", "for programs: sizes in bytes, ages in seconds"),),
    "cache rm": (("cache rm alpine:3.20 && linuxkit cache gc", "forget it, then free the space"),),
    "cache pull": (("cache pull alpine:3.20 --arch amd64 --arch arm64", "for two architectures"),),
    "cache push": (("cache push web:1 --remote-name registry.example/web:1", "elsewhere"),),
    "cache import": (("cache import web.tar --name web:1", "what docker save or skopeo wrote"),),
    "cache export": (("cache export web:1 --outfile web.tar", "an OCI layout"),
                     ("cache export web:1 --format docker --outfile - | docker load", "for Docker"),
                     ("cache export web:1 --format filesystem --outfile web.tar", "its files")),
    "cache gc": (("cache gc --dry-run", "only tell"),
                 ("cache gc --keep 7d", "what a week did not use")),
    "cache fsck": (("cache fsck --repair", "put aside what is damaged, and fetch it again"),),
    "cache du": (("cache du", "images, .debs, what builds keep"),),
    "cache clean": (("cache clean --yes", "for a script"),),
    "metadata create": (("metadata create md.iso 'hello'", "then: linuxkit run web --disk md.iso"),
                        ("metadata create --user-data user.yml seed.iso", "for cloud-init")),
    "serve": (("serve --port :8080 --directory out", "http://HOST:8080/web.ipxe starts web"),),
    "formats": (("formats --json", "for programs"),),
    "tools ls": (("tools ls", "which there are, and whether they are here"),),
    "tools fetch": (("tools fetch", "before going where there is no network"),),
    "tools path": (("tools path fat", "a folder with mkfs.fat and mtools"),),
    "tools lock": (("tools lock", "after a change in tools/"),),
    "completion": (("completion bash", "print the script for bash"),),
    "version": (("version --short", "the number alone"),
                ("version --commit", "for the report of a defect")),
}  # fmt: skip


def add(parser: Parser, path: str) -> None:
    """Put examples under the help of ``path``, such as ``cache ls``, and of all below it."""
    below = [f"{path} {name}" for name in parser.commands()]
    for name, child in parser.commands().items():
        add(child, f"{path} {name}")
    rows = EXAMPLES.get(path) or [EXAMPLES[each][0] for each in below if each in EXAMPLES][:_MOST]
    lines = (f"  # {what}\n  linuxkit {words}" for words, what in rows)
    parser.epilog = "examples:\n" + "\n".join(lines)
