"""The exchange's own record of the wire: complete, in time, on disk, and without a secret in it."""

import asyncio
import json
import re

import aiohttp
import pytest
from stage_rig import order, play

from kitestring.domain.errors import StoreError
from kitestring.exchange.wire.wire_ledger import Told, WireLedger, read_lines

CANARIES = [f"CANARY{n:02d}secret" for n in range(12)]


def test_a_request_is_three_lines_and_the_last_is_on_disk_before_the_answer_is_heard(tmp_path):
    path = tmp_path / "wire.jsonl"

    async def talk(stage):
        for _ in range(20):
            order_id = await stage.placed()
            lines = read_lines(path)  # the file itself, as another program reads it
            assert isinstance(lines[-1], Told)
            assert lines[-1].order_ids == (order_id,)
        return stage.orders()

    rows = play(talk, ledger_path=path)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["what"] for line in kept] == ["heard", "did", "told"] * 20
    assert [line["order_ids"] for line in kept if line["what"] == "did"] == [
        [row["order_id"]] for row in rows
    ]
    assert [line["at"] for line in kept] == sorted(line["at"] for line in kept)


def test_it_says_who_asked_with_what_and_in_which_state_of_his_journal():
    async def talk(stage):
        await stage.ask(
            "POST",
            "/orders/regular",
            data=order(tag="K01A"),
            headers={"X-Kitestring-Journal": "commit 41", "User-Agent": "rehearsal/1"},
        )
        await stage.ask("GET", "/orders")
        first, second = stage.ledger.conversations()
        heard = first.heard
        assert (heard.method, heard.path) == ("POST", "/orders/regular")
        assert (heard.params["tag"], heard.params["price"]) == ("K01A", "1400")
        assert (heard.api_key, heard.remote) == ("kitestring", "127.0.0.1")
        assert (heard.user_agent, heard.journal) == ("rehearsal/1", "commit 41")
        assert second.heard.journal is None

    play(talk)


def test_a_refusal_is_recorded_with_its_sentence():
    async def talk(stage):
        status, _, text = await stage.place(qty=0)
        did = stage.told().did[0]
        assert (status, did.status, did.order_ids) == (400, 400, ())
        assert json.loads(text)["message"] in did.error
        assert (await stage.ask("GET", "/no/such/route"))[0] == 404
        assert stage.told("/no").told.status == 404

    play(talk)


def test_a_socket_is_recorded_when_it_opens_and_when_it_is_refused():
    async def talk(stage):
        async with stage.ws():
            opened = stage.ledger.conversations(method="WS")[-1]
            assert (opened.told.status, opened.heard.api_key) == (101, "kitestring")
        stage.exchange.sessions.flush()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stage.ws()
        await stage.until(lambda: stage.ledger.conversations(method="WS")[-1].told)
        assert stage.ledger.conversations(method="WS")[-1].told.status == 403

    play(talk)


def test_no_secret_is_in_it_wherever_it_was_put(tmp_path):
    path = tmp_path / "wire.jsonl"

    async def talk(stage):
        token, secret = stage.token, "kitestring-secret"
        session = next(iter(stage.exchange.sessions._open.values()))
        every = [token, secret, session.enctoken, session.public_token, *CANARIES]
        ask = stage.ask
        await ask(
            "POST",
            "/session/token",
            data={"api_key": "kitestring", "request_token": CANARIES[0], "checksum": CANARIES[1]},
        )
        await ask(
            "DELETE",
            "/session/token",
            params={"api_key": "kitestring", "access_token": CANARIES[2]},
        )
        await ask("GET", "/orders", headers={"Authorization": f"token kitestring:{CANARIES[3]}"})
        await ask("GET", "/orders", headers={"Authorization": f"Bearer {CANARIES[4]}"})
        await ask("GET", "/orders", headers={"Authorization": CANARIES[5]})
        await ask(
            "POST",
            "/session/refresh_token",
            data={"refresh_token": CANARIES[6], "checksum": CANARIES[7]},
        )
        await ask(
            "POST",
            "/margins/basket",
            json=[{"access_token": CANARIES[8], "nested": [{"password": CANARIES[9]}]}],
        )
        await ask(
            "POST",
            "/margins/basket",
            data=b"{" + CANARIES[10].encode(),
            headers={"Content-Type": "application/json"},
        )
        await ask("POST", "/orders/regular", data=order(tag=token[:20], api_secret=CANARIES[11]))
        await ask("POST", "/orders/regular", data=order(status=f"x{token}x{secret}"))
        await ask("GET", f"/orders/{token}")
        await ask(
            "GET",
            "/orders",
            headers={"User-Agent": f"me {token}", "X-Kitestring-Journal": session.enctoken},
        )
        async with stage.ws():
            pass
        wrong = f"{stage.url}/?api_key=kitestring&access_token={CANARIES[2]}"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stage.http.ws_connect(wrong)
        page = await ask("GET", "/admin/ledger", params={"limit": "10000"})
        return every, page[2]

    every, page = play(talk, ledger_path=path, admin=True)
    text = path.read_text()
    assert len(text.splitlines()) > 30
    assert [secret for secret in every if secret in text or secret in page] == []
    assert "kitestring" in text

    # The same conversation with the hiding switched off would have told: the canaries did fly.
    assert re.search(r'"request_token":"•••"', text)


def test_a_secret_too_short_to_be_searched_for_is_hidden_by_its_name():
    ledger = WireLedger()
    ledger.heard(0, "POST", "/", [("pin", "123"), ("PASSWORD", "ab"), ("price", "123")])
    assert ledger.lines()[0].params == {"pin": "•••", "PASSWORD": "•••", "price": "123"}


def test_a_ledger_is_read_up_to_half_a_last_line(tmp_path):
    path = tmp_path / "wire.jsonl"
    ledger = WireLedger(path)
    for n in range(3):
        ledger.heard(n, "GET", f"/{n}")
    ledger.close()
    path.write_bytes(path.read_bytes()[:-7])
    assert [line.path for line in read_lines(path)] == ["/0", "/1"]


def test_a_ledger_goes_on_where_it_was(tmp_path):
    path = tmp_path / "wire.jsonl"
    for n in range(2):
        ledger = WireLedger(path)
        ledger.note(n, f"day {n}")
        ledger.close()
    assert [line.text for line in read_lines(path)] == ["day 0", "day 1"]
    with pytest.raises(StoreError, match="cannot be opened"):
        WireLedger(tmp_path / "absent" / "wire.jsonl")


def test_a_request_under_way_is_in_the_ledger_before_it_is_answered():
    async def talk(stage):
        waiting = asyncio.create_task(stage.place())
        await stage.until(stage.ledger.conversations)
        assert stage.told().told is None
        await waiting
        assert stage.told().told.status == 200

    play(talk, "faults: [{kind: late_arrival, seconds: 0.3}]")
