"""Trust policies: which images must be pinned or signed, as the user has written it in YAML.

Checking signatures is left to :mod:`linuxkit.sources.trusted`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.build.wanted import copied, opened
from linuxkit.oci import ref
from linuxkit.oci.keys import PublicKey
from linuxkit.sources.lock import package_of
from linuxkit.spec import yaml
from linuxkit.spec.decode import Key, Problem, decode
from linuxkit.spec.inputs import Input
from linuxkit.spec.node import find
from linuxkit.spec.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.base.where import Where
    from linuxkit.build.source import Wanted
    from linuxkit.oci.ref import Ref
    from linuxkit.spec.model import Spec, Trust
    from linuxkit.spec.node import Node

NAME = "trust.yml"
ENVIRONMENT = "LINUXKIT_TRUST_POLICY"
KEY, DIGEST, NONE, REFUSE = "cosign-key", "digest", "none", "refuse"
_MAX_BYTES = 1 << 20


class _Rule(Record):
    """What holds for the images of a registry, or of a part of it."""

    prefix: Annotated[str, Key("Registry or repository, with its host.")]
    require: Annotated[str, Key("What an image must have.", choices=(KEY, DIGEST, NONE))]
    keys: Annotated[tuple[str, ...], Key("Files of public keys (PEM); one must have signed.")] = ()
    signed_as: Annotated[
        tuple[str, ...], Key("Repositories that copied images were signed in.")
    ] = ()

    def problems(self) -> Iterator[Problem]:
        """A key is named where one is needed, and nowhere else."""
        host = self.prefix.partition("/")[0]
        if "." not in host and ":" not in host and host != "localhost":
            hint = f"images of Docker Hub are docker.io/{printable(self.prefix)}"
            yield Problem("prefix", "has no host", hint)
        if self.require == KEY and not self.keys:
            yield Problem("require", "names no keys", "list files of public keys under `keys`")
        for name in ("keys", "signed_as"):
            if self.require != KEY and getattr(self, name):
                key = "signedAs" if name == "signed_as" else name
                yield Problem(key, f'has "{key}"', f"they need `require: {KEY}`")


class _Policy(Record):
    """The whole file."""

    default: Annotated[
        str, Key("What holds where no rule does.", choices=(DIGEST, NONE, REFUSE))
    ] = REFUSE
    rules: Annotated[tuple[_Rule, ...], Key("The longest prefix that fits decides.")] = ()


class Demand(NamedTuple):
    """What a policy asks of an image."""

    require: str
    file: str  # that says so
    keys: tuple[PublicKey, ...] = ()
    names: tuple[str, ...] = ()  # repositories that it may be signed as


class Policy:
    """The rules of one file."""

    def __init__(self, file: str, default: str, rules: Mapping[str, Demand]) -> None:
        self.file = file
        self._default = default
        self._rules = rules

    def demand(self, image: Ref) -> Demand:
        """What holds for an image: the rule with the longest prefix, whole parts counting."""
        name = _full_name(image)
        while name:
            if name in self._rules:
                return self._rules[name]
            name = name.rpartition("/")[0]
        return Demand(self._default, self.file)


def _full_name(image: Ref) -> str:
    """Host and repository by one spelling, so that another one does not lead around a rule.

    Files have none: only ``default`` is for them.
    """
    if image.is_local:
        return ""
    from linuxkit.oci import registry
    from linuxkit.oci.auth import HUB_HOSTS

    place = registry.place_of(image)
    host = place.registry.lower().removesuffix(":443")
    return f"{'docker.io' if host in HUB_HOSTS else host}/{place.repository}"


def find_all(
    inputs: Sequence[str | Path], chosen: str, environ: Mapping[str, str]
) -> tuple[Policy, ...]:
    """The policies to keep to: the user's and the one beside the YAML; each of them must be met.

    The user's is ``chosen``, else LINUXKIT_TRUST_POLICY, else ``~/.linuxkit/trust.yml``.  So what
    comes with somebody's YAML can ask for more and never for less.  Raises as :func:`load`; LK0443
    when a file that was named is not there.
    """
    named = chosen or environ.get(ENVIRONMENT, "")
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - HOME may be unset
    mine = Path(named) if named else Path(home) / ".linuxkit" / NAME
    beside = Input(str(inputs[0]) if inputs else "-").folder / NAME
    found = [load(mine, needed=bool(named)), load(beside)]
    return tuple(policy for policy in found if policy is not None)


def none_found() -> Error:
    """What to say where there has to be a policy."""
    return Error("LK0443", "there is no trust policy", hint="name a key: --key FILE")


def load(path: Path, *, needed: bool = False) -> Policy | None:
    """Read a policy and its keys, whose names start from its folder; None when there is none.

    Raises LK0443 (not there, or two rules for one prefix), LK0444 (not a key), LK0201 and its kin
    for what is wrong in the file, all with their places.
    """
    try:
        with path.open("rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        if needed:
            raise Error("LK0443", f"there is no trust policy {path}") from None
        return None
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    if len(data) > _MAX_BYTES:
        raise Error("LK0443", f"{path} has more than {_MAX_BYTES >> 20} MiB")
    root = yaml.parse(yaml.decode_text(data, str(path)), str(path))
    said = decode(root, _Policy, str(path))
    rules: dict[str, Demand] = {}
    errors: list[Error] = []
    for n, rule in enumerate(said.rules):
        try:
            prefix = rule.prefix.rstrip("/").lower()
            if prefix in rules:
                raise Error("LK0443", f"there are two rules for {printable(prefix)}")  # noqa: TRY301
            keys = tuple(_key(path, name, root, (n, i)) for i, name in enumerate(rule.keys))
            names = tuple(ref.parse(name).name for name in rule.signed_as)
            rules[prefix] = Demand(rule.require, str(path), keys, names)
        except Error as error:
            error.where = error.where or _where(root, n, "prefix")
            errors.append(error)
    raise_all(errors)
    return Policy(str(path), said.default, rules)


def _key(path: Path, name: str, root: Node, at: tuple[int, int]) -> PublicKey:
    try:
        return read_key(path.parent / name)
    except Error as error:
        node = find(root, ("rules", at[0], "keys", at[1]))
        error.where = node.where if node else None
        raise


def read_key(path: Path) -> PublicKey:
    """A public key.  Raises LK0444, LK0102."""
    try:
        return PublicKey(path.read_bytes(), str(path))
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _where(root: Node, n: int, key: str) -> Where | None:
    node = find(root, ("rules", n, key))
    return node.where if node else None


def broken_trust(spec: Spec, policies: Sequence[Policy]) -> Iterator[Error]:
    """What the YAML's ``trust:`` asks for and no policy gives: keys for the images it names.

    Upstream's Docker Content Trust, which it was made for, is gone; it must not pass for checked.
    """
    for want in dict.fromkeys((*opened(spec), *(copy.wanted for copy in copied(spec)))):
        if spec.trust is None or not _asks(spec.trust, want) or package_of(want.ref):
            continue
        if all(policy.demand(want.ref).require != KEY for policy in policies):
            yield Error(
                "LK0445",
                f"`trust:` wants {want.ref} to be signed, and no trust policy has a key for it",
                hint=f"write a rule for {want.ref.name} into {NAME} (docs/howto/trust.md), or give "
                "--ignore-trust",
                where=spec.where(("trust",)),
            )


def _asks(trust: Trust, want: Wanted) -> bool:
    host, _, path = _full_name(want.ref).partition("/")
    owner = path.partition("/")[0]
    if host == "docker.io" and owner in (trust.org or ()):
        return True
    for text in trust.image or ():
        asked = ref.parse(text)
        if _full_name(asked) == _full_name(want.ref) and asked.tag in ("", want.ref.tag):
            return True
    return False
