"""Somebody to alert: a real web server on loopback, and real programs."""

import contextlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """What was posted, in order; it may answer with another status, or not at all."""

    def __init__(self, status=200, hang=False, location=None):
        self.status, self.hang, self.location = status, hang, location
        self.heard = []
        self.let_go = threading.Event()
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append((self.path, json.loads(body)))
                if receiver.hang:
                    receiver.let_go.wait(30)
                    return
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.root = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def alerts(self):
        """Every alert of every message, as (kind, text)."""
        return [
            (alert["kind"], alert["text"]) for _, rows in self.heard for alert in rows["alerts"]
        ]


@contextlib.contextmanager
def receiver(**how):
    made = Receiver(**how)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.let_go.set()
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def program(folder, body):
    """A program of a user's, and the arguments that start it."""
    path = folder / "ring.py"
    path.write_text(body, encoding="utf-8")
    return (sys.executable, "-I", "-S", str(path))


KEEPS = """\
import json, os, sys
with open({out!r}, "a", encoding="utf-8") as file:
    row = [sys.argv[1:], sys.stdin.read(), dict(os.environ)]
    file.write(json.dumps(row) + "\\n")
print("what is printed is ignored" * 10_000)
"""
HANGS = """\
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
with open({out!r}, "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(60)
"""
