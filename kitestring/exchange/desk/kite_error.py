"""A refusal as Kite words it: an HTTP status, an ``error_type`` and a sentence.

Statuses and types: kite.trade/docs/connect/v3/exceptions; where users report others on the wire,
those (PermissionException, MarginException and HoldingException with 400).
"""

from __future__ import annotations

from typing import Final

TOO_MANY_REQUESTS: Final = "Too many requests"
TIMED_OUT: Final = (
    "Order request timed out. Please check the order book and confirm before placing again."
)
"""The one 400 that says nothing: the order may well be live (kite.trade forum, comment 35732)."""


class KiteError(Exception):
    """What the exchange answers instead of data. ``data`` is sent along where Kite does."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


def input_error(message: str) -> KiteError:
    """A missing or impossible parameter."""
    return KiteError(400, "InputException", message)


def order_error(message: str) -> KiteError:
    """The order system refuses at once; later refusals turn the order REJECTED instead."""
    return KiteError(400, "OrderException", message)


def margin_error(message: str) -> KiteError:
    """Too little money, where Kite says so at once (slices of an autosliced order)."""
    return KiteError(400, "MarginException", message)


def holding_error(message: str, status: int = 400) -> KiteError:
    """Too few shares held; 428 where their sale is not authorised."""
    return KiteError(status, "HoldingException", message)


def token_error(message: str = "Incorrect `api_key` or `access_token`.") -> KiteError:
    """No session, or one that has ended."""
    return KiteError(403, "TokenException", message)


def permission_error(message: str = "Insufficient permission for that call.") -> KiteError:
    """The app or the address may not do this."""
    return KiteError(403, "PermissionException", message)


def user_error(message: str) -> KiteError:
    """Something is wrong with the account itself."""
    return KiteError(403, "UserException", message)


def network_error(message: str = TOO_MANY_REQUESTS, status: int = 429) -> KiteError:
    """Throttled (429), or the order system cannot be reached (503, 504)."""
    return KiteError(status, "NetworkException", message)


def answer_error(message: str) -> KiteError:
    """The order system's answer made no sense (502)."""
    return KiteError(502, "DataException", message)


def general_error(message: str, status: int = 500) -> KiteError:
    """Anything else; 404 and 405 for what is not there."""
    return KiteError(status, "GeneralException", message)
