"""Sending pictures in pieces, so that large ones neither hold up the event loop nor are copied for each client."""

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clearcast.station.api.budget import AnswerBudget

_PIECE = 256 * 1024  # bytes


class PictureResponse(Response):
    """A picture's bytes, sent as fast as its client reads them; what is being sent in all is bounded."""

    def __init__(self, body: bytes, *, media_type: str, headers: Mapping[str, str], budget: AnswerBudget) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._whole = body
        self._budget = budget

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send it.

        Raises:
            HTTPException: 429, too much is being sent already.
        """
        with self._budget.sending(self._whole):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            view = memoryview(self._whole)
            for start in range(0, len(view), _PIECE):
                piece = bytes(view[start : start + _PIECE])
                await send({"type": "http.response.body", "body": piece, "more_body": start + _PIECE < len(view)})
                await asyncio.sleep(0)  # others have their turn also where the client reads at once
