"""What connections of Dask's are tested with."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["auto", "off"])
def same_host(request: pytest.FixtureRequest) -> str:
    """Whether large arrays may go past the socket."""
    return str(request.param)
