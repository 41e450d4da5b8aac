"""The pieces of state that survive a restart, by name.

Every part of the core keeps what it must remember in structs and puts each one here, under its
own prefix (``order/``, ``book/``, ``strategy/``, ``risk/``, ``core/``), whenever it changes. A commit
writes what lies here; a restart is the fold of all commits, last write wins.
"""

from __future__ import annotations

import msgspec

Dirty = dict[str, msgspec.Struct | None]
"""Cells changed since the last commit; ``None`` removes one."""
