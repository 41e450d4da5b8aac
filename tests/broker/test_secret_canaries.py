"""Planted secrets turn up in no exception, repr, log or output, whatever goes wrong."""

import asyncio
import io
import logging
import pickle
import traceback

import msgspec
import pytest
from kite_rig import raw, served

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import Credentials, KiteToken, checksum, open_session
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.domain.errors import HouseError

ACCESS = "CANARYaccess0123456789"
API_SECRET = "CANARYsecret0123456789"
REQUEST = "CANARYrequest0123456789"
PROOF = checksum("key1", REQUEST, Secret(API_SECRET))
CANARIES = ("CANARY", PROOF)

ECHO = (
    '{{"status":"error","error_type":"{kind}","message":"you sent {text} as the token",'
    '"data":null}}'
)


def everything_of(error):
    """An error in every way it could be shown, with its whole chain."""
    out = io.StringIO()
    traceback.print_exception(error, file=out)
    seen, rows = set(), [out.getvalue()]
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        rows += [str(error), repr(error), repr(error.__dict__), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(rows)


def answers():
    """Servers that say back what they were sent, or break in the middle."""
    said = f"{ACCESS} {API_SECRET} {REQUEST} {PROOF}"
    for status in ("400 Bad", "403 No", "500 X", "200 OK", "418 Teapot"):
        for kind in ("TokenException", "InputException", f"{ACCESS}{API_SECRET}"):
            yield raw(ECHO.format(kind=kind, text=said), status)
    yield raw(f'{{"status":"success","data":[{{"order_id":"{said}","status":"{said}"}}]}}')
    yield raw(f'{{"status":"success","data":{{"net":[{{"product":"{said}"}}],"day":[]}}}}')
    yield raw(f"<html>{said}</html>", "502 X", "text/html")
    yield raw(said, "200 OK", f"text/{ACCESS}{API_SECRET}")
    yield raw("", "302 Found", more=f"Location: http://127.0.0.1:1/{ACCESS}{API_SECRET}\r\n")
    yield f"HTTP/1.1 200 {said}\r\nX: {said}\r\n".encode() + b"\x00\xff\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    yield b""


async def all_calls(url):
    """Every call there is; what came of each, as text."""
    said = []
    settings = msgspec.structs.replace(
        local_settings(url), api_key="key1", read_timeout_s=1.0, write_timeout_s=1.0
    )
    async with KiteHttp(settings) as http:
        client = KiteClient(settings, Secret(ACCESS), http)
        credentials = Credentials(api_key="key1", api_secret=Secret(API_SECRET))
        try:
            said.append(repr(await open_session(http, credentials, REQUEST)))
        except HouseError as error:
            said.append(everything_of(error))
        said += [repr(client), repr(http), repr(settings), repr(credentials)]
        for read in (
            client.orders, client.trades, client.positions, client.holdings, client.margins,
            client.profile, client.instruments, client.log_out,
        ):  # fmt: skip
            try:
                said.append(repr(await read()))
            except KiteReadFailed as error:
                said.append(everything_of(error))
        for write in (
            client.place({"tag": "K1"}),
            client.modify("1", "regular", {}),
            client.cancel("1", "regular"),
        ):
            said.append(repr(await write))
    return "\n".join(said)


@pytest.mark.parametrize("answer", list(answers()))
def test_no_secret_comes_back_out(answer, caplog, capfd):
    caplog.set_level(logging.DEBUG)

    async def answered(request, writer, number):
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def talk():
        async with served(answered) as (url, heard):
            said = await all_calls(url)
            # They did leave, where they belong: otherwise this test proves nothing.
            assert any(ACCESS.encode() in request for request in heard)
            assert any(PROOF.encode() in request for request in heard)
            return said

    said = asyncio.run(talk()) + caplog.text + "".join(capfd.readouterr())
    assert [canary for canary in CANARIES if canary in said] == []


def test_none_when_nobody_is_there(caplog):
    caplog.set_level(logging.DEBUG)
    said = asyncio.run(all_calls("http://127.0.0.1:9")) + caplog.text
    assert [canary for canary in CANARIES if canary in said] == []


def test_a_secret_shows_itself_to_nobody():
    secret = Secret(ACCESS)
    token = KiteToken(api_key="k", access_token=secret, public_token=Secret("x"), login_at=0)
    shown = f"{secret} {secret!r} {secret:>40} {token} {token!r} {[secret]} {{'a': {secret!r}}}"
    assert "CANARY" not in shown
    assert secret.reveal() == ACCESS
    assert secret == Secret(ACCESS)
    assert secret != Secret("other")
    for write in (pickle.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            write(secret)
