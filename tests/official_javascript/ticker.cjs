// The official JavaScript KiteTicker as a program of its own: once it gives up it ends its process.
//
//     node ticker.cjs HOST:PORT API_KEY ACCESS_TOKEN
//
// Reads commands from stdin, a JSON list to a line (["subscribe", [408065]]), and writes what the
// client's callbacks are given, a JSON list to a line (["ticks", [...]]).

"use strict";

const readline = require("node:readline");
const { KiteConnect, KiteTicker } = require("kiteconnect");

const [host, apiKey, accessToken] = process.argv.slice(2);
const kite = new KiteConnect({ api_key: apiKey, access_token: accessToken, root: `http://${host}` });
const ticker = new KiteTicker({
  api_key: apiKey, access_token: accessToken, root: `ws://${host}/`, max_retry: 1,
});

function tell(...values) {
  process.stdout.write(JSON.stringify(values) + "\n");
}

ticker.on("connect", () => tell("connect"));
ticker.on("ticks", (ticks) => tell("ticks", ticks));
ticker.on("order_update", (row) => tell("order", row));
ticker.on("message", (binary) => { if (binary.byteLength === 1) tell("heartbeat"); });
ticker.on("error", (error) => tell("error", error.message));
ticker.on("close", (event) => tell("close", event.code, event.reason));
ticker.on("disconnect", () => tell("disconnect"));
ticker.on("reconnect", (count, after) => tell("reconnect", count, after));
ticker.on("noreconnect", () => tell("noreconnect"));

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const [name, ...values] = JSON.parse(line);
  if (name === "place") {
    const { variety, ...order } = values[0];
    tell("placed", await kite.placeOrder(variety, order));
  } else if (name === "validate") {
    tell("validated", kite.validatePostback(...values));
  } else if (name === "set_mode") {
    ticker.setMode(...values);
  } else {
    ticker[name](...values);
  }
}).on("close", () => process.exit(0));

ticker.connect();
