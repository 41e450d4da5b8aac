"""A session that dies in the middle of a day, a login in another terminal, and orders from a wrong address."""

import pytest
from live_stage import on_stage
from second_terminal import Terminal, until

from kitestring.core.risk_engine import NOT_ARMED
from kitestring.domain.events import Note, OperatorCommand, OperatorWord
from kitestring.domain.instants import SECOND
from kitestring.engine import kite_link
from kitestring.engine.alerts import NOTED
from kitestring.engine.session_watch import SessionWatch
from kitestring.store.run_reader import chosen_run, read_run

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"


def said(artifacts, kind):
    facts = read_run(chosen_run(artifacts)).facts()
    return [fact for fact in facts if isinstance(fact, kind)]


def notes(artifacts, kind):
    return [note.sentence for note in said(artifacts, Note) if note.kind == f"live: {kind}"]


def words_heard(artifacts):
    return [fact.word for fact in said(artifacts, OperatorCommand)]


def test_a_dead_session_costs_entries_until_somebody_logs_in_and_the_day_goes_on(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        assert stage.held() == 10
        stage.stage.reach.flush_tokens()
        died = stage.clock.now()
        halted = terminal.day.core.risk.state
        await until(lambda: halted.halted is not None)
        noticed, code = stage.clock.now() - died, halted.halted.code
        standing = (await terminal.say("status")).standing
        await stage.until("10:05:30")
        held_while_dead = stage.held()
        stage.log_in()
        back = stage.clock.now()
        await until(lambda: halted.halted is None)
        resumed = stage.clock.now() - back
        result = await day
        return noticed, code, standing, held_while_dead, resumed, result, stage

    noticed, code, standing, dead, resumed, result, stage = on_stage(play, tmp_path)
    assert noticed < 4 * SECOND, "while an order works the book is read every 2.5 s"
    assert code == NOT_ARMED
    assert not standing.armed
    assert "Log in: python -m scripts.login_kite" in standing.entries
    assert dead == 10, "no exit could be sent, and the stop stayed"
    assert resumed < 10 * SECOND
    assert (result.trades, result.open_positions, stage.held()) == (2, {}, 0)
    done = [row["transaction_type"] for row in stage.orders() if row["status"] == "COMPLETE"]
    assert done == ["BUY", "SELL", "SELL", "BUY"], (
        "the second trade was made as if nothing had been"
    )
    assert words_heard(tmp_path) == [OperatorWord.ARM, OperatorWord.DISARM, OperatorWord.ARM]
    assert len(notes(tmp_path, "login due")) == 1
    assert NOTED["login due"] == "login due", "told to whoever is not looking"


def test_nothing_is_entered_while_nobody_is_logged_in_and_it_is_said_again(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:00:30")
        stage.stage.reach.flush_tokens()
        result = await day
        return result, stage.posts()

    result, posts = on_stage(play, tmp_path)
    assert posts == [], "not one entry was even tried"
    assert result.open_positions == {}
    assert len(notes(tmp_path, "login due")) in {2, 3}, "every five minutes"


@pytest.mark.parametrize("count", [1, 2])
def test_one_slip_of_the_session_is_no_death_and_two_are(tmp_path, count):
    slip = (
        f'faults:\n- {{kind: error_answer, route: "GET *", from: "10:04:00", times: {count}, '
        'status: 403, error_type: TokenException, message: "Incorrect `api_key`."}\n'
    )

    async def play(stage):
        await Terminal(tmp_path).trade(stage, SCRIPT)
        return stage.held()

    assert on_stage(play, tmp_path, slip) == 0
    stopped = [OperatorWord.DISARM, OperatorWord.ARM] if count == 2 else []
    assert words_heard(tmp_path) == [OperatorWord.ARM, *stopped]


def test_a_login_of_another_account_is_not_taken(tmp_path, monkeypatch):
    kept = []

    class Watched(SessionWatch):
        def __init__(self, *parts):
            super().__init__(*parts)
            kept.append(self)

    monkeypatch.setattr(kite_link, "SessionWatch", Watched)

    async def play(stage):
        day = Terminal(tmp_path).trade(stage, SCRIPT)
        await stage.until("10:04:00")
        kept[0].user_id = "ZZ9999"
        before = stage.token.reveal()
        stage.log_in()
        await stage.until("10:04:10")
        used = kept[0].token().reveal()
        day.cancel()
        await stage.die(day)
        return before == used

    assert on_stage(play, tmp_path), "the running session went on with its own token"
    (sentence,) = notes(tmp_path, "login due")
    assert "of KS0001, and this day trades for ZZ9999: it is not taken" in sentence


def test_orders_refused_for_their_address_are_explained_and_end_entries(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        stage.stage.reach.allow_addresses(("203.0.113.7",))
        day = terminal.trade(stage, SCRIPT)
        result = await day
        return result, stage.orders(), stage.posts()

    result, orders, posts = on_stage(play, tmp_path)
    assert orders == []
    assert len(posts) == 1, "the second entry was not tried any more"
    assert result.open_positions == {}
    assert words_heard(tmp_path) == [OperatorWord.ARM, OperatorWord.DISARM]
    sentence = notes(tmp_path, "refused: address")[-1]
    assert "developers.kite.trade" in sentence
    assert "kitestring doctor" in sentence
    assert result.halted == sentence


def test_exits_go_on_being_tried_from_a_refused_address_and_one_that_is_taken_ends_it(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        stage.stage.reach.allow_addresses(("203.0.113.7",))
        await stage.until("10:05:40")
        tried = len(stage.posts())
        code = terminal.day.core.risk.state.halted
        stage.stage.reach.allow_addresses(())
        result = await day
        return result, tried, code, stage

    result, tried, halted, stage = on_stage(play, tmp_path)
    assert tried >= 2
    assert halted is not None
    assert halted.code == NOT_ARMED
    assert (result.open_positions, stage.held()) == ({}, 0)
    assert words_heard(tmp_path)[-1] is OperatorWord.ARM
    assert result.trades == 2


def test_a_login_arms_nothing_that_no_person_has_armed(tmp_path):
    async def play(stage):
        first = Terminal(tmp_path).trade(stage, SCRIPT)
        await stage.until("10:04:00")
        await stage.die(first)
        second = Terminal(tmp_path).trade(stage, SCRIPT, types=False)
        await stage.until("10:04:30")
        stage.stage.reach.flush_tokens()
        await stage.until("10:04:50")
        stage.log_in()
        result = await second
        return result, stage.held(), stage.orders()

    result, held, orders = on_stage(play, tmp_path)
    assert (held, result.open_positions) == (0, {})
    assert [row["transaction_type"] for row in orders] == ["BUY", "SELL", "SELL"]
    assert words_heard(tmp_path) == [OperatorWord.ARM, OperatorWord.DISARM]
