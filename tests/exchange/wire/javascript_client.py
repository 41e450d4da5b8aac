"""The official JavaScript client for tests: installed once as its lock says, and asked call by call.

It stands in ``build/``, in a folder named after the lock file, made with npm's own ``ci`` and
without any package's scripts; a second test run finds it there and needs no network.
"""

import hashlib
import json
import os
import shutil
import subprocess
import threading
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "tests" / "official_javascript"
SHOP = ROOT / "build" / "official_javascript"
MADE_FROM = ("package.json", "package-lock.json", ".npmrc")
PATIENCE_S = 60.0

NODE, NPM = shutil.which("node"), shutil.which("npm")
needs_node = pytest.mark.skipif(not (NODE and NPM), reason="node is not installed")


def lock_digest():
    digest = hashlib.sha256()
    for name in MADE_FROM:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:16]


def node_modules():
    """The folder with the installed packages; without it the test fails, saying why."""
    folder, why = _installed()
    if why:
        pytest.fail(why, pytrace=False)
    return folder


@lru_cache(maxsize=1)
def _installed():
    """The folder, and why it could not be made; two test programs may make it at the same time."""
    made = SHOP / lock_digest()
    if not made.exists():
        making = SHOP / f".{made.name}-{os.getpid()}"
        making.mkdir(parents=True, exist_ok=True)
        for name in MADE_FROM:
            shutil.copyfile(HERE / name, making / name)
        ran = subprocess.run(
            [NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
            cwd=making,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        if ran.returncode:
            shutil.rmtree(making, ignore_errors=True)
            why = (
                "The official JavaScript client could not be installed: npm needs the network"
                " once. Connect, and run the tests again; where there is no Node they are skipped."
            )
            return made, f"{why}\n{ran.stderr[-1500:]}"
        try:
            making.rename(made)
        except OSError:  # another test program was first
            shutil.rmtree(making, ignore_errors=True)
    return made / "node_modules", ""


def environment():
    """What a Node program of ours needs to find the client, and to read times as India does."""
    return {"NODE_PATH": str(node_modules()), "TZ": "Asia/Kolkata"}


def command(script):
    """The words that start a script beside the lock file."""
    return (NODE, str(HERE / script))


class Refused(Exception):
    """The client's promise was rejected; ``error`` is with what."""

    def __init__(self, error):
        super().__init__(f"{error.get('error_type')}: {error.get('message')}")
        self.error = error
        self.kind = error.get("error_type")


class JavaScriptClient:
    """A Node program with a client: ``client("getOrders")`` is what its promise came to."""

    def __init__(self, root, api_key="kitestring", access_token=""):
        self._program = subprocess.Popen(
            [*command("client.cjs"), root, api_key, *([access_token] if access_token else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environment()},
        )

    def __call__(self, name, *values):
        self._program.stdin.write(json.dumps([name, values]) + "\n")
        self._program.stdin.flush()
        deadline = threading.Timer(PATIENCE_S, self._program.kill)
        deadline.start()
        line = self._program.stdout.readline()
        deadline.cancel()
        assert line, f"the client's program ended during {name}"
        said = json.loads(line)
        if "error" in said:
            raise Refused(said["error"])
        return said["answer"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._program.stdin.close()
        try:
            self._program.wait(5)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        self._program.stdout.close()
