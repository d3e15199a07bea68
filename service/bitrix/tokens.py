"""Keeps the pair of tokens in a file: one writer at a time, never half a pair."""

import errno
import fcntl
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

ROOM = 8192
"""Bytes reserved on the disk before tokens are renewed: a full disk must not lose the only
copy."""
MODE = 0o600
MAX_FILE = 65_536
MAX_TEXT = 1000
_TOKEN = re.compile(r"[ -~]{1,4096}")
"""What a token is made of (RFC 6749, appendix A); the portal's have 70 characters."""


class TokenFileUnusable(Exception):  # noqa: N818 - reads as what it says
    """The token file cannot be read or written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class TokenPair:
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
class StoredTokens:
    """What the file holds: the pair, and where the portal was last found.

    `configured` is the address that `found` was reached from: another one in the settings wins.
    """

    pair: TokenPair
    configured: str = ""
    found: str = ""


class TokenFile:
    """The file, a lock beside it, and the next pair beside it until it takes the file's place."""

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is touched yet. Raises TokenFileUnusable if it is no file."""
        self.path = path
        self._lock: int | None = None
        self._next: int | None = None
        self._locate()

    def check(self) -> None:
        """Raise TokenFileUnusable if a pair could not be written."""
        try:
            os.close(self._open_lock())
            probe = self._target.with_name(f".{self._target.name}.{os.getpid()}")
            handle = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, MODE)
            try:
                _fill(handle, b" " * ROOM)
            finally:
                os.close(handle)
                probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def read(self) -> StoredTokens | None:
        """Return what the file holds; None if there is no file."""
        try:
            with _opened(self._target) as file:
                _close_to_others(file.fileno())
                text = file.read(MAX_FILE)
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
        self._locate()
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
            with _opened(self._next_path) as file:
                whole = _parse(file.read(MAX_FILE)) is not None
            written = self._next_path.stat().st_mtime_ns
            placed = self._target.stat().st_mtime_ns if self._target.exists() else 0
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
            _fill(self._next, b" " * ROOM)
        except OSError as error:
            raise self._unwritable(error) from None
        return self._next

    def commit(self, kept: StoredTokens) -> None:
        """Write what was prepared for, on the disk before it takes the file's place."""
        handle = self.prepare() if self._next is None else self._next
        text = _written(kept)
        try:
            _fill(handle, text)
            self._place()
        except OSError as error:
            raise self._unwritable(error) from None

    def _locate(self) -> None:
        """Find the file itself: what replaces a link to it would stay on this machine's disk.

        Again for every turn: a person may have put a file in the place of the link.
        """
        try:
            target = self.path.resolve()
            no_file = target.exists() and not target.is_file()
        except (OSError, RuntimeError):  # a link that leads to itself, up to Python 3.12
            target, no_file = self.path.absolute(), False
        if no_file:
            what = "a folder" if target.is_dir() else "a pipe or a device"
            raise TokenFileUnusable(
                f"the token file {self.path} is {what}: IMPORTER_BITRIX__TOKEN_FILE needs the "
                "name of a file in a folder that this process may write to"
            )
        self._target = target
        self.lock_path = target.with_name(f"{target.name}.lock")
        self._next_path = target.with_name(f"{target.name}.new")

    def _place(self) -> None:
        self._next_path.replace(self._target)
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _open_lock(self) -> int:
        return os.open(self.lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, MODE)

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


def _opened(path: Path) -> BinaryIO:
    """Open without waiting for the writer of a pipe; raises OSError."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")


def _close_to_others(handle: int) -> None:
    """Take the right to read the file from everybody else, if it is ours."""
    if os.fstat(handle).st_mode & ~MODE & 0o777:
        with suppress(OSError):
            os.fchmod(handle, MODE)


def read_pair(told: Mapping[str, Any], expires: float) -> TokenPair | None:
    """Return the pair in an answer of the authorisation server, or in a file made of one."""
    refresh, access = told.get("refresh_token"), told.get("access_token", "")
    if not (isinstance(refresh, str) and _TOKEN.fullmatch(refresh) and isinstance(access, str)):
        return None
    if access and not _TOKEN.fullmatch(access):
        return None
    # A strange optional member must not lose the pair: the old pair is spent.
    return TokenPair(
        refresh, access, expires, _text(told, "member_id"), _text(told, "client_endpoint")
    )


def seconds(value: object) -> float:
    """Return a time as it stands in JSON; 0 for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value < 1e11 else 0.0  # noqa: PLR2004 - far after any time


def _parse(text: bytes) -> StoredTokens | None:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    pair = read_pair(told, seconds(told.get("expires"))) if isinstance(told, dict) else None
    if pair is None:
        return None
    return StoredTokens(pair, _text(told, "configured_endpoint"), _text(told, "found_endpoint"))


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) and len(value) <= MAX_TEXT else ""


def _written(kept: StoredTokens) -> bytes:
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
