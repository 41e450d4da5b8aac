"""The lock files: every package pinned and hashed, and no address of any index."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ("core", "dev")


def lock(name):
    return (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")


def pins(name):
    rows = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock(name), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in rows}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_carries_no_index_address(name):
    text = lock(name)
    assert "://" not in text
    for option in (
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "--trusted-host",
        "-i ",
        "-f ",
    ):
        assert not re.search(rf"^{re.escape(option)}", text, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_hashed(name):
    entries = re.split(r"\n(?=\S)", lock(name))
    packages = [entry for entry in entries if not entry.startswith(("#", "--"))]
    assert len(packages) >= 15
    for entry in packages:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry), entry[:60]
        assert "--hash=sha256:" in entry, entry[:60]


@pytest.mark.parametrize("name", LOCKS)
def test_only_wheels_are_installed(name):
    assert re.search(r"^--only-binary :all:$", lock(name), re.MULTILINE)


JAVASCRIPT = ROOT / "tests" / "official_javascript"


def test_the_javascript_lock_carries_no_address_and_every_package_is_pinned_and_hashed():
    text = (JAVASCRIPT / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    own = packages.pop("")
    assert "node_modules/kiteconnect" in packages
    for name, package in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+[-.\w]*", package["version"]), name
        assert package["integrity"].startswith("sha512-"), name
    asked = json.loads((JAVASCRIPT / "package.json").read_text(encoding="utf-8"))
    assert own["dependencies"] == asked["dependencies"]
    for name, version in asked["dependencies"].items():
        assert version == packages[f"node_modules/{name}"]["version"], "an exact pin"


def test_no_javascript_package_is_kept_in_the_repository_and_no_lock_renewal_adds_addresses():
    listed = subprocess.run(
        ["git", "ls-files", "*node_modules*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:  # a checkout may be an unpacked archive
        assert listed.stdout == ""
    assert not (JAVASCRIPT / "node_modules").exists()
    options = (JAVASCRIPT / ".npmrc").read_text(encoding="utf-8")
    assert "omit-lockfile-registry-resolved=true" in options.splitlines()
    assert "//" not in options


def test_the_tests_run_on_exactly_what_the_day_runs_on():
    dev = pins("dev")
    assert {package: dev.get(package) for package in pins("core")} == pins("core")


def test_every_dependency_of_the_project_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements):
        return {
            re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", row)[0]).lower() for row in requirements
        }

    assert names(project["dependencies"]) <= set(pins("core"))
    assert names(project["optional-dependencies"]["dev"]) <= set(pins("dev"))


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("set_up", ROOT / "scripts" / "set_up.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "stamp.json")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "requirements" / "core.lock").write_text(
        "click==8.5.1 \\\n    --hash=sha256:aa\n"
        "ta-lib==0.8.2 \\\n    --hash=sha256:bb\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
    )
    return module


def furnish(module):
    """What a finished set-up leaves behind."""
    packages = module.VENV / "lib" / "python3.11" / "site-packages"
    for name in ("click-8.5.1", "ta_lib-0.8.2"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
    python = module.python_of(module.VENV)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text("")
    module.STAMP.write_text(
        json.dumps(
            {"where": str(module.VENV), "python": sys.version, "core": module.digest("core")}
        )
    )
    return packages


def test_a_finished_environment_is_left_alone(set_up):
    assert set_up.fault("core") == "absent or moved"
    furnish(set_up)
    assert set_up.fault("core") is None


def test_an_environment_is_mended_when_something_changed(set_up, monkeypatch):
    packages = furnish(set_up)
    (packages / "click-8.5.1.dist-info").rename(packages / "click-8.0.0.dist-info")
    assert set_up.fault("core") == "click missing"
    (packages / "click-8.0.0.dist-info").rename(packages / "click-8.5.1.dist-info")
    monkeypatch.setattr(set_up.sys, "version", "3.14.0 (another)")
    assert set_up.fault("core") == "made by another Python"
    monkeypatch.undo()


def test_a_changed_lock_is_noticed(set_up):
    furnish(set_up)
    path = set_up.ROOT / "requirements" / "core.lock"
    path.write_text(path.read_text().replace("8.5.1", "8.5.2"))
    assert set_up.fault("core") == "the lock file changed"


def test_the_core_environment_does_not_serve_for_the_tests(set_up):
    furnish(set_up)
    (set_up.ROOT / "requirements" / "dev.lock").write_text("pytest==9.2.0 \\\n --hash=sha256:dd\n")
    assert set_up.fault("dev") == "the lock file changed"


@pytest.mark.parametrize(("tests", "proof"), [(0, 0), (1, 0), (0, 1)])
def test_ci_exits_with_the_code_of_make_and_ends_with_pytests_closing_line(tmp_path, tests, proof):
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    (tmp_path / "Makefile").write_text(
        f"test:\n\t@echo checked; test \"$$CI\" = true; echo '7 passed in 1.20s'; exit {tests}\n"
        f'proof:\n\t@echo 0 violations; test "$$CI" = true; exit {proof}\n'
    )
    ran = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode != 0) == bool(tests or proof)
    lines = ran.stdout.splitlines()
    assert lines[-1] == "7 passed in 1.20s"
    assert ("0 violations" in lines) == (tests == 0)
