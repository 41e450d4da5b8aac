// The official JavaScript client as a program: told one call to a line, it answers one line.
//
//     node client.cjs ROOT API_KEY [ACCESS_TOKEN]
//
// Reads ["getOrders", []] and writes {"answer": …}, or {"error": …} with what the client's promise
// was rejected with. Of a very long list only its length and its first and last rows are told.

"use strict";

const readline = require("node:readline");
const { KiteConnect } = require("kiteconnect");

const LONG = 20000;
const [root, apiKey, accessToken] = process.argv.slice(2);
const kite = new KiteConnect({
  api_key: apiKey, access_token: accessToken, root,
  timeout: 40000, // its own seven seconds are short for 100 000 instruments on a busy machine
});
let expired = 0;
kite.setSessionExpiryHook(() => { expired += 1; });

const own = {
  timesExpired: () => expired,
  accessToken: () => kite.access_token,
};

function told(answer) {
  if (!Array.isArray(answer) || answer.length < LONG) return answer === undefined ? null : answer;
  return { length: answer.length, first: answer[0], last: answer[answer.length - 1] };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, values] = JSON.parse(line);
    let said;
    try {
      said = { answer: told(await (name in own ? own[name]() : kite[name](...values))) };
    } catch (error) {
      said = { error: error instanceof Error ? { message: error.message, thrown: error.name } : error };
    }
    process.stdout.write(JSON.stringify(said) + "\n");
  }
}

main();
