"""The URLs of HTTP tasks: those that may be encoded are, the others are refused."""

import re
from urllib.parse import quote, urlsplit

from localcloud.tasks.errors import invalid
from localcloud.tasks.names import shown

MAX_URL_LENGTH = 2083
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_HOST = re.compile(r"[ \"<>\\^`{|}]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# All that a URL may hold as it is (RFC 3986), and what is encoded already.
_KEPT = "%:/?#[]@!$&'()*+,;=-._~"


def encoded(url: str) -> str:
    """The URL as it is sent and told. Raises ApiError.

    Real service: some characters are encoded, it doesn't say which; the length counts after that
    (HttpRequest.url). Here: what no URL may hold, as UTF-8, and a % that encodes nothing; a host's name
    becomes punycode.
    """
    authority = _authority(url)
    if authority is None:
        raise invalid(
            f"HttpRequest.url is {shown(url)}. "
            'Expected a URL that begins with "http://" or "https://" and names a host.'
        )
    start = url.index("//") + 2
    before, after = url[:start], url[start + len(authority) :]
    if not authority.isascii():
        authority = authority.encode("idna").decode()
    result = before + authority + encoded_part(after)
    if len(result) > MAX_URL_LENGTH:
        raise invalid(
            f"HttpRequest.url has {len(result):,} characters, encoded. Expected at most {MAX_URL_LENGTH:,}."
        )
    return result


def encoded_part(text: str) -> str:
    """A path or a query as a request may hold it."""
    return quote(_STRAY_PERCENT.sub("%25", text), safe=_KEPT)


def _authority(url: str) -> str | None:
    """The host, with its port; None if the URL can't be used."""
    # urlsplit would drop some control characters without a word.
    if _CONTROL.search(url):
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not _NO_HOST.search(parts.netloc)
        if not parts.netloc.isascii():
            parts.netloc.encode("idna")
    except ValueError:
        return None
    return parts.netloc if usable else None
