"""The short days that are asked about, traded once per worker."""

import pytest
from answered_days import BOTH, trade


@pytest.fixture(scope="session")
def answered(tmp_path_factory):
    """The same day traded twice: by quotes and latency, then at the asked price."""
    artifacts = tmp_path_factory.mktemp("answered") / "artifacts"
    trade(artifacts, key="plainday", fill_model=BOTH["market"])
    trade(artifacts, key="instants", fill_model=BOTH["instant"])
    return artifacts


@pytest.fixture(scope="session")
def halfway(tmp_path_factory):
    """The day interrupted at 09:25:38, with two positions open."""
    artifacts = tmp_path_factory.mktemp("halfway") / "artifacts"
    trade(artifacts, stop_after=310)
    return artifacts
