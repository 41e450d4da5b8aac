"""The short days that are asked about, traded once per worker."""

import pytest
from answered_days import trade


@pytest.fixture(scope="session")
def answered(tmp_path_factory):
    """The same day traded twice: the second time with a slower average and a closer trail."""
    artifacts = tmp_path_factory.mktemp("answered") / "artifacts"
    trade(artifacts, key="plainday")
    trade(artifacts, key="slowlane", slow=5, trail_atr=1.0)
    return artifacts


@pytest.fixture(scope="session")
def halfway(tmp_path_factory):
    """The day interrupted at 09:25:38, with two positions open."""
    artifacts = tmp_path_factory.mktemp("halfway") / "artifacts"
    trade(artifacts, stop_after=310)
    return artifacts
