"""Limits on wrong tokens, by address and in all, and on sessions that begin; whoever goes beyond is told to wait."""

import time
from collections import OrderedDict
from dataclasses import dataclass

_FREE = 10  # wrong tokens of an address before it has to wait
_FREE_IN_ALL = 200  # of all addresses together
_FORGOTTEN = 900.0  # seconds after the last wrong token of an address
_MINUTE = 60.0
_LONGEST = 300.0  # seconds to wait
_ADDRESSES = 10_000  # that are remembered
_SESSIONS = 200  # that may begin at once
_SESSION_EVERY = 18.0  # seconds: how often one more may begin; 34,000 in the week that a revoked one is remembered


@dataclass
class _Tries:
    count: int = 0
    last: float = 0.0


class FailedSignIns:
    """Counts wrong tokens. A right one is never refused, so nobody locks out those who have one.

    Tokens are too long to be guessed at any speed (see ``read_tokens``); this keeps those who try from costing the
    station anything, and shows them in its metrics.
    """

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Tries] = OrderedDict()
        self._all = _Tries()

    def add(self, address: str) -> float:
        """Count a wrong token; gives the seconds to wait for the next, 0 while there were few."""
        now = time.monotonic()
        tries = self._by_address.pop(address, _Tries())
        if now - tries.last > _FORGOTTEN:
            tries.count = 0
        tries.count, tries.last = tries.count + 1, now
        self._by_address[address] = tries  # the latest at the end
        if len(self._by_address) > _ADDRESSES:
            self._by_address.popitem(last=False)
        return max(_wait(tries.count - _FREE), self._wait_for_all(now))

    def _wait_for_all(self, now: float) -> float:
        """The same by the minute for all addresses together."""
        if now - self._all.last > _MINUTE:
            self._all = _Tries(last=now)
        self._all.count += 1
        return _MINUTE if self._all.count > _FREE_IN_ALL else 0.0


def _wait(too_many: int) -> float:
    """Twice as long with each wrong token too many."""
    return min(2.0 ** min(too_many, 20), _LONGEST) if too_many > 0 else 0.0


class SignIns:
    """Limits how many sessions begin, and with them how many can be revoked and must be remembered."""

    def __init__(self) -> None:
        self._free = float(_SESSIONS)
        self._last = time.monotonic()

    def take(self) -> float:
        """Count a session that begins; gives the seconds to wait instead if there were too many, else 0."""
        now = time.monotonic()
        self._free = min(self._free + (now - self._last) / _SESSION_EVERY, _SESSIONS)
        self._last = now
        if self._free < 1:
            return (1 - self._free) * _SESSION_EVERY
        self._free -= 1
        return 0.0
