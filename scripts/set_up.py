"""Makes the project's own Python environment in .venv, once, exactly as the lock files say.

    python scripts/set_up.py core     what a trading day needs
    python scripts/set_up.py dev      that, and what the tests need
    python scripts/set_up.py lock     renew the lock files (needs the network)

Every package is pinned and checked against its hash. A second call with unchanged lock files does
nothing and needs no network; an environment that is broken, moved, or made by another Python is
made again. Runs on the bare standard library, and on an old Python far enough to say so.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "kitestring-stamp.json"
LOG = VENV / "set-up.log"
JAVASCRIPT = ROOT / "tests" / "official_javascript"
OLDEST = (3, 11)
LOCK_HEADER = """\
# Pinned by `make lock` from pyproject.toml; every wheel is checked against its hash.
# No index addresses here: pip asks whichever index you have configured.
--only-binary :all:

"""
BUILD_WITH = "setuptools>=77\n"  # installs the project itself, without a download of its own


class SetUpFailed(Exception):
    """The environment could not be made; the message says what to type next."""


def python_of(venv: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def lock_file(name: str) -> Path:
    """The lock file called ``core`` or ``dev``."""
    return ROOT / "requirements" / f"{name}.lock"


def digest(name: str) -> str:
    """A fingerprint of everything an environment is made from."""
    made_from = hashlib.sha256()
    for path in (lock_file(name), ROOT / "pyproject.toml"):
        made_from.update(path.read_bytes())
    return made_from.hexdigest()


def pins(lock: str) -> dict[str, str]:
    """Package → version for every unconditional pin of a lock file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \\;]+) *\\?$", lock, re.MULTILINE)
    return {name.lower().replace("-", "_").replace(".", "_"): version for name, version in found}


def installed() -> dict[str, str]:
    """Package → version as site-packages shows it, read from folder names: no Python is started."""
    folders = [*VENV.glob("lib/python*/site-packages/*.dist-info")]
    folders += VENV.glob("Lib/site-packages/*.dist-info")
    rows = (folder.name[: -len(".dist-info")].partition("-") for folder in folders)
    return {name.lower().replace("-", "_").replace(".", "_"): version for name, _, version in rows}


def interpreter_version() -> str | None:
    """Version of the environment's Python, or ``None`` if it does not start."""
    try:
        answer = subprocess.run(  # noqa: S603 - our own interpreter
            [str(python_of(VENV)), "-c", "import sys, pip; print(sys.version)"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def stamp() -> dict[str, str]:
    """What the environment says it was made from; empty if it does not say."""
    try:
        said = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def fault(name: str) -> str | None:
    """Why the environment cannot be used for ``name`` as it is, or ``None``."""
    said = stamp()
    if said.get("where") != str(VENV) or not python_of(VENV).exists():
        return "absent or moved"
    if said.get("python") != sys.version:
        return "made by another Python"
    if said.get(name) != digest(name):
        return "the lock file changed"
    have = installed()
    wrong = [
        package
        for package, version in pins(lock_file(name).read_text(encoding="utf-8")).items()
        if have.get(package) != version
    ]
    return f"{', '.join(wrong[:3])} missing" if wrong else None


def run(*command: str) -> None:
    """Run a step quietly: what it prints goes to the log, and is shown only if it fails."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
        code = subprocess.run(  # noqa: S603 - the commands are ours, written below
            command, stdout=log, stderr=log, check=False, cwd=ROOT, env=environment
        ).returncode
    if code:
        tail = LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        raise SetUpFailed("\n".join(tail))


def make_venv() -> None:
    """A new, empty environment in place of whatever was there."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    answer = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise SetUpFailed(
            f"{answer.stdout}{answer.stderr}\n"
            "This Python cannot make virtual environments. "
            "On Debian or Ubuntu: sudo apt install python3-venv"
        )


def install(name: str) -> None:
    """Bring the environment to what the lock file says; the stamp is written last."""
    STAMP.unlink(missing_ok=True)
    python = str(python_of(VENV))
    pip = (python, "-m", "pip", "install", "--quiet", "--no-input")
    run(*pip, "--require-hashes", "-r", str(lock_file(name)))
    run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT))
    said = {"where": str(VENV), "python": sys.version, name: digest(name)}
    if name == "dev":  # dev.lock holds every pin of core.lock: a house rule checks it
        said["core"] = digest("core")
    STAMP.write_text(json.dumps(said, indent=1), encoding="utf-8")
    if (still := fault(name)) is not None:
        raise SetUpFailed(f"pip reported success, but: {still}")


def set_up(name: str) -> None:
    """Make sure that ``.venv`` is what ``requirements/<name>.lock`` says."""
    why = fault(name)
    if why is None:
        return
    started = time.monotonic()
    first = not VENV.exists()
    print(
        f"Setting up .venv from requirements/{name}.lock "
        f"({'once, about a minute' if first else why}) …",
        file=sys.stderr,
        flush=True,
    )
    if interpreter_version() != sys.version or stamp().get("where", str(VENV)) != str(VENV):
        make_venv()
    try:
        install(name)
    except SetUpFailed:
        if first:
            raise
        make_venv()  # an old environment may be damaged in ways pip does not see
        install(name)
    print(f"Ready in {time.monotonic() - started:.0f} s.", file=sys.stderr, flush=True)


def renew_locks() -> None:
    """Pin every dependency of pyproject.toml anew, for all platforms, with hashes."""
    shop = ROOT / "build" / "lock"
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(shop)], check=True)  # noqa: S603
    python = str(python_of(shop))
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)  # noqa: S603
    for name, more in (("dev", ["--extra", "dev"]), ("core", ["-c", str(lock_file("dev"))])):
        command = [python, "-m", "uv", "pip", "compile", "pyproject.toml", "-", *more]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--quiet", "--upgrade"]
        command += ["--only-binary", ":all:", "--fork-strategy", "fewest"]  # one pin per package
        answer = subprocess.run(  # noqa: S603 - uv, installed above
            command, input=BUILD_WITH, capture_output=True, text=True, check=True, cwd=ROOT
        )
        lock_file(name).write_text(LOCK_HEADER + answer.stdout, encoding="utf-8")
    renew_javascript_lock()


def renew_javascript_lock() -> None:
    """Pin what the official JavaScript client of the tests needs; without npm it stays as it is."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed; the JavaScript lock stays as it is.", file=sys.stderr)
        return
    lock = JAVASCRIPT / "package-lock.json"
    with tempfile.TemporaryDirectory() as shop:
        for name in ("package.json", ".npmrc"):
            shutil.copy(JAVASCRIPT / name, shop)
        command = [npm, "install", "--package-lock-only", "--ignore-scripts"]
        subprocess.run(command, check=True, cwd=shop)  # noqa: S603 - npm, found above
        pinned = json.loads(Path(shop, lock.name).read_text(encoding="utf-8"))
    for package in pinned["packages"].values():
        package.pop("resolved", None)
        package.pop("funding", None)  # addresses, of which a lock carries none
    lock.write_text(json.dumps(pinned, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def newer_python() -> str | None:
    """Another Python on this machine that is new enough."""
    for minor in (14, 13, 12, 11):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", ""], check=False).returncode == 0:  # noqa: S603
            return found
    return None


def main() -> int:
    """The command line of this script."""
    if len(sys.argv) != 2 or sys.argv[1] not in {"core", "dev", "lock"}:
        print("usage: python scripts/set_up.py core | dev | lock", file=sys.stderr)
        return 2
    if sys.version_info[:2] < OLDEST:
        other = newer_python()
        if other is None:
            print(
                f"Kitestring needs Python 3.11 or newer; {sys.executable} is "
                f"{sys.version.split()[0]}. If you have a newer one: make day PYTHON=/path/to/it",
                file=sys.stderr,
            )
            return 2
        return subprocess.run([other, *sys.argv], check=False).returncode  # noqa: S603
    try:
        if sys.argv[1] == "lock":
            renew_locks()
        else:
            set_up(sys.argv[1])
    except SetUpFailed as failed:
        print(
            f"{failed}\nThe set-up did not finish (it needs the network once); log: {LOG}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
