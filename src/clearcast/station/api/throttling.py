"""Rate limits on wrong tokens, by address and in total, and on new sessions."""

import time
from collections import OrderedDict
from dataclasses import dataclass

_FREE = 10  # wrong tokens of one address without a delay
_FREE_IN_TOTAL = 200  # per minute, of all addresses together
_RESET_SECONDS = 900.0  # after the last wrong token of an address
_MINUTE = 60.0
_MAX_WAIT = 300.0  # seconds
_MAX_ADDRESSES = 10_000  # in memory
_SESSION_BURST = 200  # new sessions at once
_SESSION_INTERVAL = 18.0  # seconds per further session: 34,000 in the week for which a revoked one is kept


@dataclass
class _Tries:
    count: int = 0
    last: float = 0.0


class FailedSignIns:
    """Rate limit on wrong tokens. A valid one is never refused, so nobody can lock out those who have one.

    Tokens are too long to be guessed at any rate (see ``read_tokens``); the limit makes attempts cheap for the station
    and visible in its metrics.
    """

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Tries] = OrderedDict()
        self._total = _Tries()

    def add(self, address: str) -> float:
        """Count a wrong token; return the seconds to wait before the next attempt, 0 if there were few."""
        now = time.monotonic()
        tries = self._by_address.pop(address, _Tries())
        if now - tries.last > _RESET_SECONDS:
            tries.count = 0
        tries.count, tries.last = tries.count + 1, now
        self._by_address[address] = tries  # most recent last
        if len(self._by_address) > _MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        return max(_backoff(tries.count - _FREE), self._total_wait(now))

    def _total_wait(self, now: float) -> float:
        """Count a wrong token of any address in the current minute; return the seconds to wait."""
        if now - self._total.last > _MINUTE:
            self._total = _Tries(last=now)
        self._total.count += 1
        return _MINUTE if self._total.count > _FREE_IN_TOTAL else 0.0


def _backoff(excess: int) -> float:
    """Exponential backoff in seconds."""
    return min(2.0 ** min(excess, 20), _MAX_WAIT) if excess > 0 else 0.0


class SignIns:
    """Rate limit (token bucket) on new sessions, and so on the number of revoked ones to remember."""

    def __init__(self) -> None:
        self._free = float(_SESSION_BURST)
        self._last = time.monotonic()

    def take(self) -> float:
        """Count a new session; return 0, or if there are too many, the seconds to wait instead."""
        now = time.monotonic()
        self._free = min(self._free + (now - self._last) / _SESSION_INTERVAL, _SESSION_BURST)
        self._last = now
        if self._free < 1:
            return (1 - self._free) * _SESSION_INTERVAL
        self._free -= 1
        return 0.0
