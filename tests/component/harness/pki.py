"""Certificates for a cluster of a few minutes, by openssl: one CA, leaves for the server and its users."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Leaf:
    certificate: Path
    key: Path


class Authority:
    """A CA whose files lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = folder / "ca.crt", folder / "ca.key"
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=component-tests"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def leaf(self, name: str, *, subject: str, names: str = "") -> Leaf:
        """A certificate for `subject` ("/O=group/CN=user"); `names` as openssl spells subjectAltName."""
        made = Leaf(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        _openssl("req", *_NEW_KEY, "-subj", subject, "-keyout", str(made.key), "-out", str(request))
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n"
        if names:
            extensions += f"subjectAltName={names}\n"
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".ext") as file:
            file.write(extensions)
            file.flush()
            _openssl(
                *(
                    "x509",
                    "-req",
                    "-in",
                    str(request),
                    "-CA",
                    str(self.certificate),
                    "-CAkey",
                    str(self._key),
                ),
                *("-CAcreateserial", "-days", "2", "-extfile", file.name, "-out", str(made.certificate)),
            )
        return made

    def signing_key(self) -> Leaf:
        """A key pair for ServiceAccount tokens; `certificate` is the public key."""
        pair = Leaf(self.folder / "sa.pub", self.folder / "sa.key")
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(pair.key))
        _openssl("ec", "-in", str(pair.key), "-pubout", "-out", str(pair.certificate))
        return pair


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(("openssl", *arguments), capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
