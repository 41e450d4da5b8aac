"""A program that lives days with a planted leak: orders of one step leave in the order of a set of text."""

import sys

from kitestring.core.trading_core import TradingCore
from proof import same_seed

HONEST = TradingCore.step


def step(core, event):
    commands = HONEST(core, event)
    named = {command.cl_ord_id: command for command in commands if hasattr(command, "cl_ord_id")}
    if len(named) < len(commands) or len(named) < 2:
        return commands
    return [named[name] for name in set(named)]


TradingCore.step = step
same_seed.main(sys.argv[1:])
