"""A test that is quietly skipped in CI is a test that does not exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent

SUITE = """
import pytest

def test_works():
    pass

@pytest.mark.skip(reason="shared data absent")
def test_is_listed():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_it_should():
    assert False
"""
UNLISTED = """
@pytest.mark.skip(reason="no time")
def test_is_not_listed():
    pass
"""


def run_suite(
    folder: Path, text: str, *options: str, ci: str = "true"
) -> subprocess.CompletedProcess:
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (folder / "allowed_skips.toml").write_text((TESTS / "allowed_skips.toml").read_text())
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "CI": ci, "KITESTRING_STRICT_SKIPS": "", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_listed_skip_passes(tmp_path):
    ran = run_suite(tmp_path, SUITE, "-n", "0")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_unlisted_skip_fails_the_session(tmp_path, workers):
    ran = run_suite(tmp_path, SUITE + UNLISTED, "-n", workers)
    assert ran.returncode == 1
    assert "test_is_not_listed: no time" in ran.stdout
    assert "test_is_listed: " not in ran.stdout


def test_a_whole_file_skipped_is_seen_too(tmp_path):
    whole = 'import pytest\npytest.skip("no time", allow_module_level=True)\n'
    ran = run_suite(tmp_path, whole + SUITE, "-n", "0")
    assert "no time" in ran.stdout
    assert ran.returncode != 0


def test_outside_ci_a_skip_is_a_skip(tmp_path):
    ran = run_suite(tmp_path, SUITE + UNLISTED, "-n", "0", ci="")
    assert ran.returncode == 0, ran.stdout
