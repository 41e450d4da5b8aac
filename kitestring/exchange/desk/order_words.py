"""A refusal in two voices: the friendly sentence, and what the risk system or the exchange had said.

``status_message`` and ``status_message_raw`` of a rejected row (official sample ``orders.json``, and
sentences users quote). A refusal by the broker's risk system (RMS) never reaches the exchange.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why an order was refused. ``by_rms``: before it was sent to the exchange."""

    message: str
    raw: str
    by_rms: bool


_FUNDS: Final = re.compile(r"Required margin is (-?\d+\.\d+) but available margin is (-?\d+\.\d+)")
_RMS: Final = (
    (
        "Insufficient holdings",
        "RMS:Rule: Check holdings including BTST for entity account-{account}",
    ),
    ("Intraday (MIS)", ""),
    ("Product ", ""),
    ("Quantity should be in multiples", ""),
    ("The instrument", ""),
)
"""How the broker's own refusals begin, and the raw sentence where users quote one."""
_EXCHANGE: Final = (
    ("SL-M orders", "16052 : Function not available"),
    ("Price exceeds circuit", "17070 : The Price is out of the current execution range"),
)
UNMATCHED: Final = "16388 : Unmatched orders cancelled by the system"


def cancel_raw(sentence: str) -> str:
    """What the exchange says where it withdraws an order by itself."""
    return UNMATCHED if sentence.startswith("The rest of an IOC") else sentence


def refusal(sentence: str, account: str) -> Refusal:
    """The floor's sentence in both voices."""
    funds = _FUNDS.search(sentence)
    if funds is not None:
        needed, available = funds.groups()
        raw = (
            f"RMS:Margin Exceeds,Required:{needed}, Available:{available} for entity"
            f" account-{account} across exchange across segment across product "
        )
        return Refusal(sentence, raw, by_rms=True)
    for start, known in _RMS:
        if sentence.startswith(start):
            raw = known.format(account=account) or f"RMS:{sentence}"
            return Refusal(sentence, raw, by_rms=True)
    for start, raw in _EXCHANGE:
        if sentence.startswith(start):
            return Refusal(sentence, raw, by_rms=False)
    return Refusal(sentence, sentence, by_rms=False)
