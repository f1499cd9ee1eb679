"""What lets a TPM open secrets for every image of one signer: signed policies about PCR 11.

A secret is sealed to a key, not to a value; the TPM opens it when a signature by that key says that
the value it has measured is a good one (TPM 2.0 Library, Part 3, TPM2_PolicyAuthorize).  So an
image brings the signature of its own value with it, in the section and form of systemd-measure(1).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import TYPE_CHECKING

from linuxkit.disk import measure, pe
from linuxkit.disk.uki import Part
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.disk.certificates import Certificate, Signer

_SECTION = ".pcrsig"
_PCR = 11
_POLICY_PCR = 0x17F  # TPM_CC_PolicyPCR
_SELECTION = struct.pack(">IHB3s", 1, 0x000B, 3, (1 << _PCR).to_bytes(3, "little"))  # of SHA-256


def sections(signer: Signer) -> tuple[Part, ...]:
    """What a unified kernel image has besides: the public key, and room for the signature."""
    room = len(_text(bytes(32), signer))
    key = signer.certificate.public_pem
    return Part(".pcrpkey", Bytes(key)), Part(_SECTION, Bytes(bytes(room)))


def sign(program: BinaryIO, signer: Signer) -> None:
    """Write the signature of what will be measured into the room that ``program`` has for it.

    Raises LK0764 when there is none.
    """
    value = bytes.fromhex(measure.image_register(program))
    head = pe.read(pe.head(program), "LK0764", "the image")
    place = next((each for each in head.sections if each.name == _SECTION), None)
    text = _text(value, signer)
    if place is None or place.size != len(text):
        raise pe.bad("LK0764", "the image", "it has no room for a signature of its measurement")
    program.seek(place.offset)
    program.write(text)
    program.flush()


def policy(value: bytes) -> bytes:
    """The digest of the policy that PCR 11 has this value (Part 3, 23.7)."""
    about = struct.pack(">I", _POLICY_PCR) + _SELECTION + hashlib.sha256(value).digest()
    return hashlib.sha256(bytes(32) + about).digest()


def _text(value: bytes, signer: Signer) -> bytes:
    wanted = policy(value)
    row = {
        "pcrs": [_PCR],
        "pkfp": _fingerprint(signer.certificate),
        "pol": wanted.hex(),
        "sig": base64.b64encode(signer.sign(wanted)).decode(),
    }
    return json.dumps({"sha256": [row]}, separators=(",", ":")).encode()


def _fingerprint(certificate: Certificate) -> str:
    return hashlib.sha256(certificate.public_pkcs1).hexdigest()
