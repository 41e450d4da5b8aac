"""An entry that has not filled yet: it counts as if it had, a halt takes it back, a late fill is closed again."""

from house_day import ACME, clock
from shared_account import SharedAccount

from kitestring.domain.events import OperatorCommand, OperatorWord
from kitestring.domain.money import money
from kitestring.domain.orders import OrdStatus, Product, Purpose
from kitestring.domain.verdicts import CancelOrder


class SlowEntries(SharedAccount):
    """Entries rest until ``fill_entries``; with ``deaf`` nothing is cancelled either."""

    waits = True
    deaf = False

    def _fill(self, order):
        if order.purpose is not Purpose.ENTRY or not self.waits:
            super()._fill(order)

    def _carry_out(self, command):
        if not (self.deaf and isinstance(command, CancelOrder)):
            super()._carry_out(command)

    def fill_entries(self):
        self.waits = False
        for order in list(self.orders.values()):
            if order.purpose is Purpose.ENTRY and order.status == "NEW":
                self._fill(order)
        return self

    def say(self, word):
        return self.step(OperatorCommand(at=self.now, word=word, reason="enough"))

    @property
    def entries(self):
        return [order.status for order in self.orders.values() if order.purpose is Purpose.ENTRY]

    def standing(self):
        settings = self.core.settings.strategies[0]
        return self.core.account.standing(settings, self.now, untrusted="")


def rested(script="2 BUY stop=-5", **more):
    account = SlowEntries(script, **more)
    return account.until("09:17:10")


def test_an_entry_that_rests_counts_as_if_it_had_filled():
    for script, sign in (("2 BUY stop=-5", 1), ("2 SELL stop=+5", -1)):
        account = rested(script)
        assert account.entries == ["NEW"]
        standing = account.standing()
        assert standing.gross == money("5000")
        assert standing.net == money("5000") * sign
        assert standing.symbol_worst == money("5000")
        assert (standing.open_positions, standing.working_orders) == (1, 1)
        assert standing.own_working


def test_a_halt_takes_back_the_entry_that_rests_and_leaves_the_stop():
    account = rested()
    account.say(OperatorWord.HALT)
    assert account.entries == ["CANCELED"]
    assert account.of(CancelOrder)[-1].reason == "halt"
    held = rested().fill_entries().until_stopped()
    held.say(OperatorWord.HALT)
    assert (held.owned, held.stops) == (10, [10])


def test_an_entry_that_fills_after_a_halt_that_flattens_is_closed_at_once():
    account = rested()
    account.deaf = True
    account.say(OperatorWord.FLATTEN)
    account.fill_entries()
    for _ in range(5):
        account.tick()
    assert account.owned == account.net == 0
    assert account.reasons == ["halt"]


def test_an_entry_that_fills_after_a_halt_that_keeps_positions_is_protected():
    account = rested()
    account.deaf = True
    account.say(OperatorWord.HALT)
    account.fill_entries().until_stopped()
    assert (account.owned, account.stops) == (10, [10])


def test_an_exit_left_on_the_wrong_side_is_withdrawn():
    """A stop of the long position still works when the position turns out to be short."""
    account = SlowEntries("2 BUY stop=-5").until("09:17:10").fill_entries().until_stopped()
    book = account.core.portfolio.books["one"]
    view = account.core.market.views[ACME.id]
    (stop,) = account.core.orders.working("one")
    assert stop.status is OrdStatus.NEW
    book.net_qty = -10
    wants = account.core.exits.settle(book, view, clock("09:18"))
    assert [(type(want), want.cl_ord_id, want.reason) for want in wants] == [
        (CancelOrder, stop.cl_ord_id, "wrong side")
    ]


def test_an_exit_that_works_is_not_sent_a_second_time():
    account = SlowEntries("2 BUY").until("09:17:10").fill_entries()
    account._fill = lambda order: None
    account.say(OperatorWord.FLATTEN)
    exits = [order for order in account.orders.values() if order.purpose is Purpose.EXIT]
    assert [order.qty for order in exits] == [10]
    book = account.core.portfolio.books["one"]
    view = account.core.market.views[ACME.id]
    assert account.core.exits.settle(book, view, account.now) == []


def test_an_exit_signal_takes_back_an_entry_that_has_not_filled():
    account = rested("2 BUY stop=-5; 3 EXIT").until("09:18:10")
    assert account.entries == ["CANCELED"]
    assert (account.owned, account.blocked) == (0, [])


def test_an_entry_that_the_owner_withdraws_means_no_more_entries_there_today():
    account = rested("2 BUY stop=-5; 4 BUY stop=-5")
    account.cancel_by_hand(Purpose.ENTRY)
    account.until("09:19:10")
    assert account.notes.count("cancelled by hand") == 1
    assert account.blocked == ["TOUCHED_BY_HAND"]
    refused = rested("2 BUY stop=-5; 4 BUY stop=-5")
    refused.cancel_by_hand(Purpose.ENTRY, text="no margin")
    refused.until("09:19:10")
    assert refused.blocked == []
    assert refused.entries == ["CANCELED", "NEW"]


def test_an_entry_is_given_up_after_half_a_minute():
    account = SlowEntries("2 BUY stop=-5").until("09:17:02")
    began = account.now
    while account.entries == ["NEW"] and account.now < began + 60_000_000:
        account.tick()
    assert account.entries == ["CANCELED"]
    assert account.of(CancelOrder)[-1].reason == "entry went stale"
    assert 25_000_000 <= account.now - began <= 31_000_000


def test_intraday_is_squared_off_once_and_what_is_for_delivery_stays():
    account = SlowEntries("2 BUY stop=-5").until("09:17:10").fill_entries()
    account.until("10:21:30")
    assert account.owned == 0
    assert account.reasons == ["square-off"]
    assert account.notes.count("square-off") == 1
    delivery = SlowEntries("2 BUY stop=-5", product=Product.CNC).until("09:17:10").fill_entries()
    delivery.until("10:21:30")
    assert (delivery.owned, delivery.stops, delivery.reasons) == (10, [10], [])


def test_an_intraday_entry_that_fills_after_the_square_off_is_closed():
    account = SlowEntries("59 BUY stop=-5").until("10:14:10")
    account.deaf = True
    assert account.entries == ["NEW"]
    account.until("10:20:05")
    account.fill_entries()
    for _ in range(5):
        account.tick()
    assert account.owned == account.net == 0
    assert account.reasons == ["square-off"]
