"""Headers that a web server or framework believes, because a proxy in front of it normally sets them.

On App Engine that proxy is Google's front end, so a client's own must not get through: gunicorn would read
the scheme from X-Forwarded-SSL, and PATH_INFO from SCRIPT_NAME, which walks around `login: admin`.
"""

from __future__ import annotations

# X-Forwarded-For, -Proto, -Protocol, -SSL, -Host, -Port, -Prefix, -Server, -User ...
_PREFIX = b"x-forwarded"
_NAMES = frozenset(
    {
        b"forwarded",
        # The scheme and the address of the client.
        b"front-end-https",
        b"x-scheme",
        b"x-url-scheme",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        # The host and the path that the client asked for.
        b"x-host",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-script-name",
        # Who has signed in.
        b"remote-user",
        b"x-remote-user",
        # Becomes HTTP_PROXY, the way out for many HTTP clients.
        b"proxy",
    }
)


def is_proxys_word(name: bytes) -> bool:
    """May only the platform itself send this header? `name` in lower case.

    Every name with an underscore is among them. A WSGI server makes the same variable of X_Real_IP and
    X-Real-IP, and gunicorn takes SCRIPT_NAME, PATH_INFO and REMOTE_USER for the variables themselves.

    We differ: whether App Engine drops names with an underscore is not documented; here they are dropped.
    """
    return b"_" in name or name.startswith(_PREFIX) or name in _NAMES
