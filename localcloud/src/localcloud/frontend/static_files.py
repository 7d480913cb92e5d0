"""Files that the platform serves itself: static_dir and static_files."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import posixpath
import time
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from localcloud.frontend.messages import MAX_BODY_BYTES, Request, Response, own_headers, text_response
from localcloud.routing import Kind, Match


def serve(request: Request, match: Match, folder: Path) -> Response | None:
    """The file that `match` names under `folder`, that of app.yaml; None if there is no such file: 404."""
    handler = match.handler
    if request.method not in (b"GET", b"HEAD"):
        return text_response(405, "A static file can only be read.", (b"Allow", b"GET, HEAD"))
    root = folder / handler.path.rstrip("/") if handler.kind is Kind.STATIC_DIR else folder
    path = handler.static_path(match.groups)
    # Real service: only files that match `upload` are there as static files (app.yaml reference).
    if handler.upload is not None and not handler.upload.fullmatch(posixpath.normpath(path)):
        return None
    file = _inside(root, folder / path)
    if file is None:
        return None
    try:
        status = file.stat()
        content = file.read_bytes() if status.st_size <= MAX_BODY_BYTES else None
    except OSError:
        return None
    if content is None:
        # Real service: a static file may hold 32 MB at most; it could not have been uploaded.
        return text_response(500, f"{file.name} is larger than 32 MB, which App Engine does not serve.")
    etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'.encode()
    headers = own_headers(
        (b"Content-Type", (handler.mime_type or _type_of(file)).encode("latin-1")),
        (b"ETag", etag),
        (b"Last-Modified", formatdate(status.st_mtime, usegmt=True).encode()),
        # Real service: the expiration is in both headers (app.yaml reference, expiration).
        (b"Cache-Control", b"public, max-age=%d" % handler.expiration_seconds),
        (b"Expires", formatdate(time.time() + handler.expiration_seconds, usegmt=True).encode()),
    )
    own = {name.lower().encode("latin-1") for name in handler.http_headers}
    headers = [header for header in headers if header[0].lower() not in own]
    headers += [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in handler.http_headers.items()
    ]
    if _is_unchanged(request, etag, status.st_mtime):
        return Response(304, [header for header in headers if header[0] != b"Content-Type"])
    return Response(200, headers, content)


def _inside(root: Path, file: Path) -> Path | None:
    """`file` with all its links followed, if it then lies under `root` and is a file."""
    try:
        real_root, real_file = os.path.realpath(root), os.path.realpath(file)
        is_inside = real_file.startswith(real_root.rstrip(os.sep) + os.sep)
        return Path(real_file) if is_inside and os.path.isfile(real_file) else None  # noqa: PTH113
    except (OSError, ValueError):  # a name that is too long; a NUL in it
        return None


def _type_of(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _is_unchanged(request: Request, etag: bytes, changed_at: float) -> bool:
    known = request.header(b"if-none-match")
    if known is not None:
        tags = [tag.strip().removeprefix(b"W/") for tag in known.split(b",")]
        return etag in tags or b"*" in tags
    since = request.header(b"if-modified-since")
    if since is None:
        return False
    try:
        return int(changed_at) <= parsedate_to_datetime(since.decode("latin-1")).timestamp()
    except (ValueError, TypeError, OverflowError):  # whatever the date is, it is not known
        return False
