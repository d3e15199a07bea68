"""Makes certificates for one test: an authority, a server's, a client's; kept in memory."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its chain and its key, as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """An authority of our own; whoever does not trust it refuses what it issued."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def certificate(self) -> bytes:
        """Return what others must trust, as PEM."""
        return self._ca.cert_pem.bytes()

    def issue(self, *names: str, ends: datetime | None = None) -> Identity:
        """Issue a certificate for host names and addresses, or for a client."""
        issued = self._ca.issue_cert(*names, not_after=ends)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        return Identity(chain, issued.private_key_pem.bytes())


@dataclass(frozen=True, slots=True)
class Files:
    """Certificates as the files that settings name."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def write(cls, folder: Path, authority: Authority, client: Identity) -> "Files":
        """Write an authority and a client's identity into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        files = cls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
        files.ca.write_bytes(authority.certificate)
        files.certificate.write_bytes(client.certificate)
        files.key.write_bytes(client.key)
        return files

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings that name them, without their prefix."""
        return {
            "RABBIT__CA_FILE": str(self.ca),
            "RABBIT__CERT_FILE": str(self.certificate),
            "RABBIT__KEY_FILE": str(self.key),
        }
