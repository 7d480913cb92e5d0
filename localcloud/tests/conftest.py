"""What all tests of localcloud share."""

from __future__ import annotations

import hypothesis

# A busy machine is not a failure: what takes too long is ended by pytest's own timeout.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")
