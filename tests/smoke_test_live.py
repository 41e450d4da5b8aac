"""Is the road to a real order whole? ``python tests/smoke_test_live.py``: a minute before the first live day.

It starts an exchange of its own, logs in, sends a real order over a real socket, sees it filled in part,
cancels the rest, reconciles, closes what it holds, and asks the exchange's own books whether all of that
is so. No account, no money. It prints what it saw and exits with 1 if anything is off.
"""

import asyncio
import datetime as dt
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kitestring.broker.exchange_time import exchange_time
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import Credentials, open_session
from kitestring.broker.kite_settings import Place, local_settings
from kitestring.broker.secret_text import Secret
from kitestring.cli.config import Mode, load_config
from kitestring.cli.served_exchange import API_KEY, API_SECRET, ROOT, ServedExchange
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.ids import ClOrdIds, InstrumentId, StrategyId
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, CancelOrder, PlaceOrder
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.paper_engine import PaperEngine
from kitestring.engine.rehearsal_clock import RehearsalClock

DAY = dt.date(2026, 11, 20)
INFY = InstrumentId("NSE:INFY")
KEY = f"{INFY}/MIS"
WITHIN_S = 20.0
SPEED = "5"
ACCOUNT = "account: {cash: 10 crore}"


class Off(Exception):
    """Something is not as it must be."""


def must(true, sentence):
    """Say what was seen, or stop with what was not."""
    if not true:
        raise Off(sentence)
    print(f"✓ {sentence}")


class Desk:
    """The broker under test and everything it has told."""

    def __init__(self, broker, clock):
        self.broker, self.clock = broker, clock
        self.reports = []
        self.ids = ClOrdIds("smoketest", DAY)

    def order(self, side, qty, purpose, px=None):
        now = self.clock.now()
        intent = OrderIntent(
            strategy=StrategyId("smoke"), instrument=INFY, side=side, order_qty=qty,
            ord_type=OrdType.LIMIT if px else OrdType.MARKET, product=Product.MIS,
            purpose=purpose, reason="smoke test", decision_px=px or price("1"),
            decided_at=now, price=px,
        )  # fmt: skip
        tag = self.ids()
        approved = Approved(intent=intent, at=now)
        self.broker.place_order(PlaceOrder(cl_ord_id=tag, approved=approved))
        return tag

    def told(self, tag, kind):
        self.reports += [report for _, report in self.broker.reports_until(self.clock.now())]
        return [each for each in self.reports if each.cl_ord_id == tag and each.exec_type is kind]

    def filled(self, tag):
        return sum(each.last_qty for each in self.told(tag, ExecType.TRADE))

    async def until(self, happened, what):
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + WITHIN_S
        while not happened():
            refused = [each for each in self.reports if each.exec_type is ExecType.REJECTED]
            if refused:
                raise Off(f"{what} never came: the order was refused: {refused[0].text}")
            if loop.time() > ends_at:
                raise Off(f"{what} was not told within {WITHIN_S:g} s")
            await asyncio.sleep(0.02)


def parts_are_there():
    """Imports, both engines, and that nothing trades for real unless told so twice."""
    must(LiveEngine is not PaperEngine, "LiveEngine, PaperEngine and KiteBroker import")
    paper = load_config(ROOT / "configs" / "paper.yaml").config
    must(
        paper.trading.mode is Mode.PAPER, "paper is what happens without a word: configs/paper.yaml"
    )
    live = load_config(ROOT / "configs" / "live.yaml", Mode.LIVE).config
    must(live.trading.mode is Mode.LIVE, "live is told from paper: configs/live.yaml")
    must(
        live.trading.live_capital is None,
        "configs/live.yaml names no capital, so nothing starts on it by accident",
    )
    must(
        live.kite.place is Place.KITE, "live goes to Zerodha's own addresses unless told otherwise"
    )
    try:
        local_settings("http://example.com")
    except ConfigError:
        must(True, "an address that is neither Zerodha's nor this machine's is refused")
    else:
        raise Off("a foreign address was taken")


async def an_order_and_its_end(exchange):
    """Log in, place, part-fill, cancel, reconcile, close; each step seen at the exchange."""
    settings = local_settings(exchange.rest, api_key=API_KEY)
    before = exchange.books()
    clock = RehearsalClock()
    async with KiteHttp(settings) as http:
        ask = partial(exchange_time, http)
        await clock.look(ask)
        credentials = Credentials(api_key=API_KEY, api_secret=Secret(API_SECRET))
        request_token = exchange.redirect().partition("request_token=")[2].partition("&")[0]
        token = await open_session(http, credentials, request_token or exchange.redirect())
        must(token.user_id, f"logged in at the exchange as {token.user_id}")
        client = KiteClient(settings, token.access_token, http)
        broker = KiteBroker(client, now=clock.now)
        async with clock.following(ask):
            profile = await broker.ensure_logged_in()
            must(profile.user_id == token.user_id, "KiteBroker.ensure_logged_in knows the account")
            broker.start()
            try:
                await trade(Desk(broker, clock), exchange, before)
            finally:
                await broker.close()
    after = exchange.books()
    must(after.holdings == before.holdings, f"{len(after.holdings)} holdings are untouched")
    must(after.positions == before.positions, "the carried position is untouched, ours is flat")


async def trade(desk, exchange, before):
    """One order from its placing to the last share sold again."""
    broker = desk.broker
    offer = exchange.answer_to("/quote?i=NSE:INFY")["NSE:INFY"]["depth"]["sell"][0]
    px, qty = price(str(offer["price"])), int(offer["quantity"]) * 40
    tag = desk.order(Side.BUY, qty, Purpose.ENTRY, px)
    await desk.until(lambda: desk.filled(tag) > 0, "a first fill")
    bought = desk.filled(tag)
    must(bought < qty, f"BUY {qty} INFY at ₹{offer['price']}: {bought} filled, the rest waits")
    working = [row.tag for row in await broker.fetch_open_orders()]
    must(tag in working, "KiteBroker.fetch_open_orders shows the rest by its tag")
    broker.cancel_order(CancelOrder(cl_ord_id=tag, at=desk.clock.now(), reason="smoke test"))
    await desk.until(lambda: desk.told(tag, ExecType.CANCELED), "the cancel")
    bought = desk.filled(tag)
    must(
        bought < qty,
        f"cancelled; {bought} were filled in {len(desk.told(tag, ExecType.TRADE))} parts",
    )

    must(await broker.refresh() == "", "orders and positions were read whole")
    books = broker.snapshot(desk.clock.now())
    must(
        books.trusted and books.net_qty.get(KEY) == bought,
        f"reconciled: the broker's net is {bought}",
    )
    row = next(row for row in exchange.books().orders if row.tag == tag)
    must(
        (row.status, row.filled_quantity) == ("CANCELLED", bought),
        f"the exchange says the same: {row.status}, {row.filled_quantity} of {row.quantity}",
    )
    close = desk.order(Side.SELL, bought, Purpose.EXIT)
    await desk.until(lambda: desk.filled(close) == bought, "the closing fill")
    must(await broker.refresh() == "", "read again after the close")
    net = broker.snapshot(desk.clock.now()).net_qty.get(KEY, 0)
    must(net == 0, f"sold {bought} again, the broker's net is 0")
    after = exchange.books()
    tags = [row.tag for row in after.orders]
    must(sorted(tags) == sorted([tag, close]), "the exchange has exactly these two orders")
    paid = sum(trade.value if trade.signed > 0 else -trade.value for trade in after.trades)
    ours = sum(
        (1 if report.cl_ord_id == tag else -1) * report.last_qty * int(report.last_px)
        for report in desk.reports
        if report.exec_type is ExecType.TRADE
    )
    must(paid == ours and len(before.orders) == 0, "fills are the exchange's trades, to the paisa")


def main():
    """Everything in order; the exit code."""
    try:
        parts_are_there()
        with (
            tempfile.TemporaryDirectory(prefix="kitestring-smoke-") as folder,
            ServedExchange(Path(folder), settings=ACCOUNT, at="09:20", speed=SPEED) as exchange,
        ):
            print(f"  exchange at {exchange.rest}")
            asyncio.run(an_order_and_its_end(exchange))
    except (Off, HouseError) as off:
        print(f"✗ {off}")
        return 1
    print("The road is whole: an order was placed, part-filled, cancelled, reconciled and closed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
