"""Who is signed in: a signed cookie, in place of a Google account."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

COOKIE_NAME = "localcloud_login"
_LIFETIME_SECONDS = 30 * 24 * 3600
# A browser sends one for each path and domain; each costs a signature to check.
_MOST_COOKIES = 4
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has signed in."""

    email: str
    is_admin: bool

    @property
    def user_id(self) -> str:
        """Real service: a number. The dev server makes one from the address. We do the same, so ids agree:
        1, then the first 20 digits of the md5 of the address, each byte printed with at least two."""
        digest = hashlib.md5(self.email.lower().encode(), usedforsecurity=False).digest()
        return "1" + "".join(f"{byte:02d}" for byte in digest)[:20]

    @property
    def nickname(self) -> str:
        return self.email.partition("@")[0]

    @property
    def organization(self) -> str:
        return self.email.partition("@")[2]


def is_address(text: str) -> bool:
    """May it stand in a header as somebody's address?"""
    return _ADDRESS.fullmatch(text) is not None


class Sessions:
    """Issues and reads the cookie. Its secret is kept, so that people stay signed in over a restart."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, user: User) -> str:
        """The cookie's value: address, rights and end of life, and a signature over them."""
        expires_at = int(self._clock()) + _LIFETIME_SECONDS
        plain = f"{'admin' if user.is_admin else 'user'}:{expires_at}:{user.email}"
        payload = base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")
        return f"{payload}.{self._signature(payload)}"

    def read(self, value: str) -> User | None:
        """The user that `issue` wrote in `value`; None for anything else, and after the end of life."""
        payload, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(payload).encode()):
            return None
        plain = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
        rights, expires_at, email = plain.split(":", 2)
        if int(expires_at) < self._clock():
            return None
        return User(email, rights == "admin")

    def user_of(self, cookies: Iterable[bytes]) -> User | None:
        """The user whom these Cookie headers name."""
        pairs = (pair for header in cookies for pair in header.decode("latin-1").split(";"))
        values = (
            value for name, _, value in (pair.strip().partition("=") for pair in pairs) if name == COOKIE_NAME
        )
        users = (self.read(value) for value in islice(values, _MOST_COOKIES))
        return next((user for user in users if user is not None), None)

    def _signature(self, payload: str) -> str:
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()


def load_secret(file: Path) -> bytes:
    """The secret in `file`, readable by its owner alone; made at the first call."""
    try:
        secret = file.read_bytes()
        if len(secret) >= 32:
            return secret
    except FileNotFoundError:
        pass
    secret = os.urandom(32)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secret)
    draft.replace(file)
    return secret
