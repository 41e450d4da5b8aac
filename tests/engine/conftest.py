"""The short day, made once per worker, and folders that do not wait for a disk."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from short_day import House, make_market, traded


@pytest.fixture(scope="session")
def fast_folder():
    """A folder in memory where there is one: a killed process needs no disk that survives it."""
    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="kitestring-", dir=where))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def market(fast_folder):
    """Forty minutes of six instruments, one frame a second."""
    path = fast_folder / "market.bin"
    make_market(path)
    return path


@pytest.fixture(scope="session")
def whole(fast_folder, market):
    """What the day comes to when nobody disturbs it."""
    house = House(fast_folder / "undisturbed", market)
    return traded(house, house.finished())


@pytest.fixture(scope="session")
def slow_market(fast_folder):
    """The same, with two seconds in each frame: many a frame has a timer in its middle."""
    path = fast_folder / "slow_market.bin"
    make_market(path, seconds_per_frame=2)
    return path


@pytest.fixture
def house(fast_folder, market, request):
    """A house of its own for one test."""
    folder = Path(tempfile.mkdtemp(prefix="house-", dir=fast_folder))
    yield House(folder, market)
    shutil.rmtree(folder, ignore_errors=True)
