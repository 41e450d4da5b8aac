"""The official KiteTicker as a program of its own: Twisted's reactor cannot be started twice in one.

    python official_ticker.py ROOT API_KEY ACCESS_TOKEN

Reads commands from stdin, a JSON list to a line (["subscribe", [408065]]), and writes what the client's
callbacks are given, a JSON list to a line (["ticks", [...]]).
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

from kiteconnect import KiteConnect, KiteTicker  # noqa: E402
from twisted.internet import reactor  # noqa: E402


def tell(what, *values):
    sys.stdout.write(json.dumps([what, *values], default=str) + "\n")
    sys.stdout.flush()


def main(root, api_key, access_token):
    ticker = KiteTicker(api_key, access_token, root=f"ws://{root}", reconnect_max_tries=2)
    client = KiteConnect(api_key, access_token, root=f"http://{root}")
    ticker.on_connect = lambda ws, response: tell("connect")
    ticker.on_ticks = lambda ws, ticks: tell("ticks", ticks)
    ticker.on_order_update = lambda ws, row: tell("order", row)
    ticker.on_error = lambda ws, code, reason: tell("error", code, reason)
    ticker.on_close = lambda ws, code, reason: tell("close", code, reason)
    ticker.connect(threaded=True)
    for line in sys.stdin:
        name, *values = json.loads(line)
        if name == "place":
            tell("placed", client.place_order(**values[0]))
        elif name == "cancel":
            tell("cancelled", client.cancel_order("regular", values[0]))
        else:
            reactor.callFromThread(getattr(ticker, name), *values)


main(*sys.argv[1:])
