"""A reverse proxy that serves a station under a path, as nginx does by `location /clearcast/ { proxy_pass .../; }`."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

PROXY_PATH = "/clearcast"
_HOP_BY_HOP_HEADERS = {"connection", "transfer-encoding", "host", "keep-alive", "content-encoding", "content-length"}


@contextmanager
def reverse_proxy(station: httpx.Client, headers: dict[str, str] | None = None) -> Iterator[httpx.Client]:
    """Start a proxy in front of a station; yields a client of the proxy, whose base URL has the path.

    Args:
        station: a client of the station itself.
        headers: those that the proxy adds to each request, or replaces in it, such as ``X-Forwarded-Prefix``.
    """

    class Proxy(http.server.BaseHTTPRequestHandler):
        def _forward(self) -> None:
            if not self.path.startswith(f"{PROXY_PATH}/"):
                self.send_error(404)
                return
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP_HEADERS}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = station.base_url.join(self.path.removeprefix(PROXY_PATH))
            response = httpx.request(
                self.command, address, headers={**kept, **(headers or {})}, content=body, trust_env=False, timeout=60
            )
            self.send_response(response.status_code)
            for name, value in response.headers.multi_items():
                if name.lower() not in _HOP_BY_HOP_HEADERS:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_DELETE = _forward  # noqa: N815 - the names that the library calls

        def log_message(self, *_: Any) -> None:  # noqa: ANN401
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}{PROXY_PATH}/"
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
            yield client
        server.shutdown()
        thread.join()
