"""Who is asking: what a request's headers say, however odd they are."""

from __future__ import annotations

import pytest

from pushtasks.trust import is_cross_site


@pytest.mark.parametrize(
    ("origin", "crosses"),
    [
        ("https://own.example", False),
        ("https://other.example", True),
        ("http://[own.example", True),
        ("null", True),
        ("", True),
    ],
)
def test_only_this_hosts_own_origin_is_believed(origin: str, crosses: bool) -> None:
    assert is_cross_site({"origin": origin, "host": "own.example"}) is crosses
