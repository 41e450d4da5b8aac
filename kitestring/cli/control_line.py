"""One question to a running live day, over its socket, and its answer; or why nobody answers."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import HouseError
from kitestring.engine.control_socket import where
from kitestring.engine.control_words import BOOKS_WITHIN_S, Answered, Asked

ANSWER_WITHIN_S: Final = 8.0
_ANSWER_MAX: Final = 8 << 20
_answer: Final = msgspec.json.Decoder(Answered, strict=False)


class NoEngine(HouseError):
    """No live day runs in the folder."""


class NoAnswer(HouseError):
    """A live day runs there, and does not answer."""


def ask(artifacts: Path, asked: Asked) -> Answered:
    """Ask the day and wait for what it did. Raises ``NoEngine`` or ``NoAnswer``."""
    within_s = BOOKS_WITHIN_S + 5 if asked.word == "reconcile" else ANSWER_WITHIN_S
    place = where(artifacts)
    if place is None:
        raise NoEngine(
            f"No live day runs in {artifacts}.",
            do="name its folder with --artifacts; what is open without a day that runs has its stops "
            "at the broker and nothing else",
        )
    ends_at = time.monotonic() + within_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(within_s)
            try:
                line.connect(str(place))
            except (ConnectionRefusedError, FileNotFoundError):
                raise NoEngine(
                    f"The live day in {artifacts} has ended without closing its door: it died.",
                    do="see your positions and stops at the broker, then start the day again",
                ) from None
            line.sendall(msgspec.json.encode(asked) + b"\n")
            heard = bytearray()
            while not heard.endswith(b"\n"):
                line.settimeout(max(0.01, ends_at - time.monotonic()))
                piece = line.recv(65_536)
                heard += piece
                if not piece or len(heard) > _ANSWER_MAX:
                    raise NoAnswer(f"The live day in {artifacts} closed the line.", do="ask again")
        return _answer.decode(bytes(heard))
    except TimeoutError:
        raise NoAnswer(
            f"A live day runs in {artifacts}, but does not answer within {within_s:g} s.",
            do="it may hang: look at your positions and stops at the broker",
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoAnswer(
            f"The live day in {artifacts} could not be asked ({type(error).__name__}).",
            do="ask again; Ctrl-C in its own terminal stops it",
        ) from error
