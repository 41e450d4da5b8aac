"""What holds on every day: no order overfills, no limit is betrayed, nothing trades that was not there."""

from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper_days import House, bar_days, broker, scripts, tick_days
from paper_world import FUTURE, SHARE

from kitestring.domain.instants import NEVER
from kitestring.domain.orders import OrdStatus
from kitestring.exchange.depth import visible_depth
from kitestring.exchange.fill_models import INSTANT, MARKET
from kitestring.exchange.ledger import MemoryLedger, What, read_entries, read_lines

LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=120)
days = st.one_of(tick_days(), bar_days())


def traded(frames, script, model):
    ledger = MemoryLedger()
    venue = broker(ledger, model)
    House(frames, script).run(venue)
    return venue, ledger.records


@LAW
@given(days, scripts, st.sampled_from([MARKET, INSTANT]))
def test_no_order_trades_more_than_it_asked_nor_worse_than_its_limit(frames, script, model):
    _, records = traded(frames, script, model)
    qty, limit, filled, side = {}, {}, defaultdict(int), {}
    for entry in read_entries(records):
        tag = entry.tag
        if entry.what is What.PLACE:
            side[tag] = entry.side
        elif entry.what in (What.NEW, What.TRIGGERED, What.REPLACED):
            qty[tag], limit[tag] = entry.qty, entry.price
        elif entry.what is What.TRADE:
            filled[tag] += entry.last_qty
            assert entry.last_qty > 0
            assert entry.filled_qty == filled[tag] <= qty[tag]
            if model is MARKET:
                better = entry.last_px <= limit[tag]
                assert better if side[tag] == "BUY" else entry.last_px >= limit[tag]


@LAW
@given(tick_days(), scripts)
def test_no_more_is_had_of_a_tick_than_stood_there_and_traded(frames, script):
    _, records = traded(frames, script, MARKET)
    had = defaultdict(int)
    for line in read_lines(records):
        for entry in line.entries:
            if entry.what is What.TRADE:
                had[entry.instrument, entry.side, line.position, entry.nth] += entry.last_qty
    most = defaultdict(int)
    before = {}
    for position, frame in enumerate(frames, 1):
        for nth, tick in enumerate(frame.ticks, 1):
            last = before.get(tick.instrument)
            instrument = {FUTURE.id: FUTURE, SHARE.id: SHARE}[tick.instrument]
            lot = instrument.lot_size
            grown = tick.cum_qty - last.cum_qty if last else 0
            guess = max(grown // 4 // lot * lot, lot) if last else 10 * lot
            depth = visible_depth(instrument, tick)
            for side, levels in (("BUY", depth.asks), ("SELL", depth.bids)):
                shown = sum(level.qty for level in levels) + grown if tick.bid_px else guess
                most[tick.instrument, side, position, nth] = shown
            before[tick.instrument] = tick
        for side in ("BUY", "SELL"):
            for each in (FUTURE.id, SHARE.id):
                here = [most[each, side, position, nth] for nth in range(1, len(frame.ticks) + 1)]
                now = max(here, default=0) or most[each, side, position - 1, 0]
                most[each, side, position, 0] = now
    for key, quantity in had.items():
        assert quantity <= most[key], key


@LAW
@given(days, scripts, st.sampled_from([MARKET, INSTANT]))
def test_cash_and_positions_at_cost_make_opening_and_realised(frames, script, model):
    venue, records = traded(frames, script, model)
    cash, net = 2_000_000 * 10_000, defaultdict(int)
    for entry in read_entries(records):
        if entry.what is What.TRADE:
            signed = entry.last_qty if entry.side == "BUY" else -entry.last_qty
            cash -= signed * entry.last_px
            net[f"{entry.instrument}/{entry.product}"] += signed
    account = venue.matcher.account
    cost = sum(int(each.open_cost) for each in account.positions.values())
    assert account.cash == cash
    assert account.cash + cost == account.opening + account.realised
    assert venue.snapshot(NEVER).net_qty == {key: qty for key, qty in net.items() if qty}


@LAW
@given(days, scripts, st.sampled_from([MARKET, INSTANT]))
def test_margin_is_tied_up_by_what_is_open_only(frames, script, model):
    venue, _ = traded(frames, script, model)
    working = defaultdict(int)
    for order in venue.matcher.orders.values():
        if order.live:
            working[order.symbol, order.product, order.buy] += order.leaves
    for (symbol, product), each in venue.matcher.account.positions.items():
        assert each.working_buy == working[symbol, product, True]
        assert each.working_sell == working[symbol, product, False]
    blocked = sum(int(each.blocked) for each in venue.matcher.account.positions.values())
    assert venue.matcher.account.blocked == blocked


@LAW
@given(days, scripts, st.sampled_from([MARKET, INSTANT]))
def test_everything_told_is_in_the_ledger_and_told_once(frames, script, model):
    told = []

    class Listening(House):
        def listen(self, venue, until, position):
            plain = venue.reports_until

            class Ear:
                next_due_at = property(lambda _: venue.next_due_at)

                @staticmethod
                def reports_until(until):
                    heard = plain(until)
                    told.extend(heard)
                    return heard

                carry_out = venue.carry_out

            super().listen(Ear(), until, position)

    ledger = MemoryLedger()
    venue = broker(ledger, model)
    Listening(frames, script).run(venue)
    entries = [each for each in read_entries(ledger.records) if each.told_at]
    assert sorted((each.told_at, each.tag, each.what, each.trade_id) for each in entries) == sorted(
        (at, it.cl_ord_id, it.exec_type.value, it.exec_id or "") for at, it in told
    )
    assert [at for at, _ in told] == sorted(at for at, _ in told)
    for row in venue.snapshot(NEVER).orders:
        assert 0 <= row.cum_qty <= row.order_qty
        assert (row.cum_qty == row.order_qty) is (row.status == OrdStatus.FILLED)


class Standing:
    """What the ledger says of the orders that wait: who came first at which price."""

    def __init__(self):
        self.rows = {}
        self.came = 0

    def heard(self, entry):
        """Follow one entry; at a trade out of the volume, name whom it passed over."""
        row = self.rows.get(entry.tag)
        if entry.what is What.PLACE:
            self.rows[entry.tag] = {"side": entry.side, "of": entry.instrument, "live": False}
        elif entry.what in (What.NEW, What.TRIGGERED, What.REPLACED):
            stop = entry.order_type in ("SL", "SL-M") and entry.what is not What.TRIGGERED
            same = (
                entry.what is What.REPLACED
                and (row["px"], row["kind"]) == (entry.price, entry.order_type)
                and entry.qty <= row["qty"]
            )
            if not same:
                self.came += 1
                row["came"], row["takes"] = self.came, entry.takes
            row |= {"px": entry.price, "qty": entry.qty, "kind": entry.order_type}
            row |= {"live": not stop}
        elif entry.what is What.TRADE:
            row["live"] = entry.filled_qty < entry.qty
            if entry.printed:
                return [tag for tag, each in self.rows.items() if self._before(each, row)]
        elif entry.what is What.CANCELED or (entry.what is What.REJECTED and row["live"]):
            row["live"] = False
        return []

    @staticmethod
    def _before(each, row):
        alike = all(each.get(name) == row[name] for name in ("side", "of", "px"))
        return alike and each["live"] and not each["takes"] and each["came"] < row["came"]


@LAW
@given(tick_days(), scripts)
def test_nobody_who_waits_is_passed_by_a_later_order_of_ours_at_his_price(frames, script):
    _, records = traded(frames, script, MARKET)
    standing = Standing()
    for entry in read_entries(records):
        assert standing.heard(entry) == []
