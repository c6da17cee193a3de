"""Image responses sent in chunks, so that large ones neither block the event loop nor are copied for each client."""

import asyncio
from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from clearcast.station.api.budget import AnswerBudget

_CHUNK = 256 * 1024  # bytes


class PictureResponse(Response):
    """Response with an encoded image, sent as fast as the client reads it, within a memory budget."""

    def __init__(self, body: bytes, *, media_type: str, headers: Mapping[str, str], budget: AnswerBudget) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._content = body
        self._budget = budget

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send the response.

        Raises:
            HTTPException: 429, the memory budget is exceeded.
        """
        with self._budget.sending(self._content):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            view = memoryview(self._content)
            for start in range(0, len(view), _CHUNK):
                chunk = bytes(view[start : start + _CHUNK])
                await send({"type": "http.response.body", "body": chunk, "more_body": start + _CHUNK < len(view)})
                await asyncio.sleep(0)  # let other tasks run even if the client reads at once
