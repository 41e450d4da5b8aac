"""What decoding may raise for bytes that are not what they ought to be: caught whole, or not at all.

A decoder's own error is only one of three. Text that is no UTF-8 and nesting without an end raise
Python's, which whoever names the first alone lets through: a HALT file with one wrong byte in it
would then end the house that it halts.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
