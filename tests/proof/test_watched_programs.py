"""A secret, an open door or an open file of a running program is found from outside."""

import os
import socket
import subprocess
import sys

import pytest

from proof.watched_programs import doors, files_with, open_doors, open_modes, told_to_all

TOKEN = "canary0123456789abcdef"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def test_a_secret_in_any_file_is_found_but_not_where_it_belongs(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text(TOKEN)
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "guard.log").write_text("all is well")
    assert files_with(tmp_path, [TOKEN], but=tmp_path / "secrets") == []
    (tmp_path / "live" / "journal.db").write_bytes(b"\x00\xff" + TOKEN.encode() + b"\x00")
    assert files_with(tmp_path, [TOKEN], but=tmp_path / "secrets") == [
        "live/journal.db holds a secret."
    ]


def test_a_secret_on_a_command_line_is_found():
    with subprocess.Popen([sys.executable, "-c", "input()", TOKEN], stdin=subprocess.PIPE) as shown:
        assert told_to_all(shown.pid, [TOKEN]) == [f"Program {shown.pid} shows a secret."]
        shown.kill()
    assert told_to_all(os.getpid(), [TOKEN]) == []


def test_a_door_to_the_network_is_found_and_one_for_this_machine_is_none():
    with socket.create_server(("127.0.0.1", 0)):
        assert "127.0.0.1" in doors(os.getpid())
        assert open_doors(os.getpid()) == []
        with socket.create_server(("0.0.0.0", 0)):
            assert open_doors(os.getpid()) == [f"Program {os.getpid()} listens at 0.0.0.0."]


def test_a_secret_that_others_may_read_is_found(tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    token = secrets / "token"
    token.touch(mode=0o600)
    assert open_modes(secrets) == []
    token.chmod(0o644)
    assert open_modes(secrets) == ["token has mode 644."]
