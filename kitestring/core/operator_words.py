"""What a person at the keyboard may order the house to do, and what it does about it.

Every word comes through the inbox and is journalled before it is obeyed.
"""

from __future__ import annotations

from collections.abc import Callable

from kitestring.core.broker_view import BrokerView
from kitestring.core.risk_engine import HALT_CODES, RiskEngine
from kitestring.domain.events import OperatorCommand, OperatorWord
from kitestring.domain.orders import ExitReason
from kitestring.domain.verdicts import HaltPolicy, HaltSession


def obey(
    command: OperatorCommand,
    risk: RiskEngine,
    view: BrokerView,
    halted: Callable[[HaltSession], None],
    leave_all: Callable[[ExitReason], None],
) -> None:
    """Do what was said. ``halted`` records and carries out a halt; ``leave_all`` closes what is open."""
    word = command.word
    if word is OperatorWord.RESOLVE:
        view.resolve(command)
        return
    if word is OperatorWord.ARM:
        risk.arm()
    if word in (OperatorWord.STOP, OperatorWord.ARM):
        return
    flatten = word is OperatorWord.FLATTEN
    policy = HaltPolicy.FLATTEN if flatten else HaltPolicy.KEEP_PROTECTED
    code, sentence = HALT_CODES.get(word, "OPERATOR"), command.reason
    if code == "OPERATOR":
        sentence = f"The operator said {word}: {command.reason or 'no reason given'}."
    halt = risk.halt(code, sentence, policy, command.at)
    if halt is not None:
        halted(halt)
    elif flatten:
        leave_all(ExitReason.OPERATOR)
