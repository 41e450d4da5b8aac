"""Whatever others do in the account, no exit of ours is larger than what we own and what is there."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared_account import SharedAccount

from kitestring.domain.events import OperatorCommand, OperatorWord
from kitestring.domain.orders import Side

SCRIPTS = (
    ("2 BUY stop=-5; 5 SELL stop=+5; 6 EXIT; 7 BUY stop=-3",),
    ("2 SELL stop=+5", "2 SELL stop=+2; 5 EXIT; 6 SELL stop=+4"),
    ("2 BUY stop=-5 target=508", "2 BUY stop=-2 trail=3"),
)
STEPS = st.one_of(
    st.tuples(st.just("market"), st.integers(490, 510), st.integers(1, 90)),
    st.tuples(st.just("bought"), st.integers(1, 25), st.booleans()),
    st.tuples(st.just("sold"), st.integers(1, 25), st.booleans()),
    st.tuples(st.just("vanished"), st.integers(-25, 25), st.integers(0, 3)),
    st.tuples(st.just("resolve"), st.sampled_from(["adopt", "release", "flatten"]), st.just(0)),
    st.tuples(st.just("cancelled"), st.just(0), st.just(0)),
    st.tuples(st.just("flatten"), st.just(0), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)


def take(account, what, one, two):
    match what:
        case "market":
            for _ in range(two):
                account.tick(f"{one}.00")
        case "bought" | "sold":
            side = Side.BUY if what == "bought" else Side.SELL
            account.by_hand(side, one, rms=two).look(times=2)
        case "vanished":
            account.net += one
            account.look(trusted=False, times=two).look(times=2)
        case "resolve":
            account.resolve(one).look(times=2)
        case "cancelled" if len(account.stops) == 1:
            account.cancel_by_hand().look(times=2)
        case "flatten":
            account.step(OperatorCommand(at=account.now, word=OperatorWord.FLATTEN))
        case "restart":
            account.restart()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SCRIPTS), st.lists(STEPS, max_size=25))
@example(SCRIPTS[0], [("market", 500, 90), ("market", 500, 90), ("vanished", -6, 0),
                      ("market", 490, 90), ("resolve", "flatten", 0)])  # fmt: skip
@example(SCRIPTS[1], [("market", 500, 90), ("market", 500, 90), ("bought", 15, False),
                      ("vanished", 12, 2), ("flatten", 0, 0)])  # fmt: skip
@example(SCRIPTS[0], [("market", 490, 57), ("bought", 10, False), ("market", 490, 56),
                      ("flatten", 0, 0)])  # fmt: skip
@example(SCRIPTS[0], [("market", 490, 57), ("bought", 10, False), ("market", 490, 56),
                      ("vanished", 0, 0), ("flatten", 0, 0)])  # fmt: skip
def test_no_exit_exceeds_what_we_own_and_what_the_broker_holds(scripts, steps):
    account = SharedAccount(*scripts).until("09:18:05")
    for what, one, two in steps:
        take(account, what, one, two)
    account.look(times=2)
    for qty, owned, net in account.exits:
        assert qty * owned < 0, "it closes what we own"
        assert abs(qty) <= abs(owned), (qty, owned)
        assert qty * net < 0, "and what is there"
        assert abs(qty) <= abs(net), (qty, net)
    resting = sum(account.stops)
    assert resting <= min(abs(account.owned), abs(account.net))
