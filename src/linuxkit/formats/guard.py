"""What makes the kernel run programs of the image only: a policy for IPE, and a signed root.

IPE (Linux, admin-guide/LSM/ipe.rst) asks of every program, library and module where it comes from.
Ours may come from the initramfs, which firmware has verified, or from a disk whose dm-verity root
hash is signed.  Both signatures are by the key ``db``: Linux takes what firmware trusts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.build.needs import configurations
from linuxkit.disk import der, pkcs7

if TYPE_CHECKING:
    from linuxkit.build.kconfig import Config
    from linuxkit.build.plan import Plan
    from linuxkit.disk.certificates import Signer

NAME = "linuxkit"
"""Of the policy, below securityfs."""
KEY = "linuxkit:root"
"""Of the kernel's key that holds the signature of the root hash."""
_OPERATIONS = ("EXECUTE", "FIRMWARE", "KMODULE", "KEXEC_IMAGE", "KEXEC_INITRAMFS")
_ORIGINS = ("boot_verified=TRUE", "dmverity_signature=TRUE")
_SWITCH = "CAP_MAC_ADMIN"
_TRIAL = "ipe.enforce="
_NEEDED = (
    "SECURITY_IPE", "IPE_PROP_DM_VERITY_SIGNATURE", "IPE_POLICY_SIG_PLATFORM_KEYRING",
    "DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING", "LOAD_UEFI_KEYS",
)  # fmt: skip


class Guard(NamedTuple):
    """PKCS #7 in DER: the detached signature of a root hash, and a policy with its signature."""

    root: bytes
    policy: bytes
    trial: bool = False  # what is not allowed is told, and runs all the same
    locked: bool = True  # nobody in the machine can switch it off


def make(root: bytes, signer: Signer, *, trial: bool = False, locked: bool = True) -> Guard:
    """Sign the root hash ``root``, which dm-verity looks at as hexadecimal text, and the policy."""
    text = der.octets(policy().encode())
    return Guard(
        pkcs7.wrapped(pkcs7.sign_detached(root.hex().encode(), signer)),
        pkcs7.wrapped(pkcs7.sign(pkcs7.Content(pkcs7.DATA, text), signer)),
        trial,
        locked,
    )


def is_trial(cmdline: str) -> bool:
    """Whether the image's own command line asks to be told only (Linux, kstrtobool)."""
    chosen = [word.removeprefix(_TRIAL) for word in cmdline.split() if word.startswith(_TRIAL)]
    return bool(chosen) and chosen[-1].lower().startswith(("0", "n", "f", "of"))


def policy() -> str:
    """The text: what is not allowed by name is denied, and reading keys and rules is not running.

    Policies and certificates have signatures of their own.
    """
    lines = [f"policy_name={NAME} policy_version=0.0.1", "DEFAULT action=DENY"]
    for operation in _OPERATIONS:
        lines += [f"op={operation} {origin} action=ALLOW" for origin in _ORIGINS]
    lines += [f"DEFAULT op={name} action=ALLOW" for name in ("POLICY", "X509_CERT")]
    return "".join(f"{line}\n" for line in lines)


def check(config: Config | None, cmdline: str) -> None:
    """Whether a kernel with this configuration and command line can hold a machine to it.

    A kernel that does not tell its configuration is taken to.  Raises LK0781.
    """
    chosen = [word[4:] for word in cmdline.split() if word.startswith("lsm=")]
    if chosen and "ipe" not in chosen[-1].split(","):
        raise _lacking('"lsm=" of the command line does not name ipe', "add it there")
    if config is None:
        return
    for name in _NEEDED:
        if config.get(name) != "y":
            raise _lacking(f"CONFIG_{name} is off", 'Debian\'s has it: "@pkg:kernel-full"')
    if not chosen and "ipe" not in config.get("LSM").strip('"').split(","):
        raise _lacking("CONFIG_LSM does not name ipe", 'add "lsm=…,ipe" to kernel.cmdline')


def holders(plan: Plan) -> tuple[str, ...]:
    """The containers that may switch it off; OCI runtimes do not start them without that right."""
    return tuple(
        name for name, config in configurations(plan)
        if _SWITCH in config.get("process", {}).get("capabilities", {}).get("bounding", ())
    )  # fmt: skip


def _lacking(why: str, hint: str) -> Error:
    return Error("LK0781", f"this kernel cannot be held to signed programs: {why}", hint=hint)
