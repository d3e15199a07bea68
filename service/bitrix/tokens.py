"""Keeps the pair of tokens in a file: one writer at a time, never half a pair."""

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOM = 8192
"""Bytes set aside before a pair is asked for: a full disk must not cost the only copy."""
MODE = 0o600


class TokenFileUnusable(Exception):  # noqa: N818 - reads as what it says
    """The token file cannot be read or written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token, the refresh token that comes with it, and whose they are. Never shown.

    `expires`: wall-clock seconds, 0 = not known; `client_endpoint`: where the portal is by the
    authorisation server's word.
    """

    refresh_token: str
    access_token: str = ""
    expires: float = 0.0
    member_id: str = ""
    client_endpoint: str = ""

    def __repr__(self) -> str:
        return f"Pair(expires={self.expires:.0f})"

    def usable(self, now: float) -> bool:
        """Tell whether the access token may still be accepted, as far as can be known here."""
        return bool(self.access_token) and not 0 < self.expires <= now


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file holds: the pair, and where the portal was last found.

    `configured` is the address that `found` was reached from: another one in the settings wins.
    """

    pair: Pair
    configured: str = ""
    found: str = ""


class TokenFile:
    """The file, a lock beside it, and the next pair beside it until it takes the file's place."""

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is touched yet."""
        self.path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._next_path = path.with_name(f"{path.name}.new")
        self._lock: int | None = None
        self._next: int | None = None

    def check(self) -> None:
        """Raise TokenFileUnusable if a pair could not be written."""
        try:
            os.close(self._open_lock())
            probe = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, MODE))
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def read(self) -> Kept | None:
        """Return what the file holds; None if there is no file."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenFileUnusable(
                f"the token file {self.path} cannot be read: {error.strerror}"
            ) from None
        kept = _parse(text)
        if kept is None:
            raise TokenFileUnusable(
                f"the token file {self.path} holds no refresh_token in a JSON object: put the "
                "pair back, or remove the file and give IMPORTER_BITRIX__REFRESH_TOKEN"
            )
        return kept

    def lock(self) -> bool:
        """Try to become the one writer among all processes; the lock ends with the process."""
        try:
            lock = self._open_lock()
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError as error:
            os.close(lock)
            raise self._unwritable(error) from None
        self._lock = lock
        return True

    def unlock(self) -> None:
        """Let others write; what was prepared and not written is given up."""
        for handle in (self._next, self._lock):
            if handle is not None:
                os.close(handle)
        self._next = self._lock = None

    def recover(self) -> None:
        """Take over a pair that a process wrote down in full and died before it took its place.

        Only under the lock. A file that somebody has put there since is newer, and stays.
        """
        try:
            whole = _parse(self._next_path.read_bytes()) is not None
            written = self._next_path.stat().st_mtime_ns
            placed = self.path.stat().st_mtime_ns if self.path.exists() else 0
            if whole and written >= placed:
                self._place()
        except OSError:
            return

    def prepare(self) -> int:
        """Set room aside for the next pair, so that writing it can hardly fail; under the lock."""
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._next = os.open(self._next_path, flags, MODE)
            os.fchmod(self._next, MODE)
            os.pwrite(self._next, b" " * ROOM, 0)
            os.fsync(self._next)
        except OSError as error:
            raise self._unwritable(error) from None
        return self._next

    def commit(self, kept: Kept) -> None:
        """Write what was prepared for, on the disk before it takes the file's place."""
        handle = self.prepare() if self._next is None else self._next
        text = _written(kept)
        try:
            _fill(handle, text)
            self._place()
        except OSError as error:
            raise self._unwritable(error) from None

    def _place(self) -> None:
        self._next_path.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _open_lock(self) -> int:
        return os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, MODE)

    def _unwritable(self, error: OSError) -> TokenFileUnusable:
        return TokenFileUnusable(
            f"the token file {self.path} cannot be written: {error.strerror}; "
            "IMPORTER_BITRIX__TOKEN_FILE needs a folder that this process may write to"
        )


def _fill(handle: int, text: bytes) -> None:
    """Make a text the whole of a file, on the disk; raises OSError."""
    if os.pwrite(handle, text, 0) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(handle, len(text))
    os.fsync(handle)


def read_pair(told: Mapping[str, Any], expires: float) -> Pair | None:
    """Return the pair in an answer of the authorisation server, or in a file made of one."""
    texts = ("access_token", "refresh_token", "member_id", "client_endpoint")
    found = {name: told.get(name, "") for name in texts}
    if not all(isinstance(value, str) for value in found.values()) or not found["refresh_token"]:
        return None
    return Pair(expires=expires, **found)


def seconds(value: object) -> float:
    """Return a time as it stands in JSON; 0 for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value < 1e11 else 0.0  # noqa: PLR2004 - far after any time


def _parse(text: bytes) -> Kept | None:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    pair = read_pair(told, seconds(told.get("expires"))) if isinstance(told, dict) else None
    if pair is None:
        return None
    places = [told.get(name, "") for name in ("configured_endpoint", "found_endpoint")]
    configured, found = (place if isinstance(place, str) else "" for place in places)
    return Kept(pair, configured, found)


def _written(kept: Kept) -> bytes:
    pair = kept.pair
    told = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "expires": pair.expires,
        "member_id": pair.member_id,
        "client_endpoint": pair.client_endpoint,
        "configured_endpoint": kept.configured,
        "found_endpoint": kept.found,
    }
    return json.dumps(told, indent=1).encode() + b"\n"
