"""Who may ask the dashboard: holders of the token, or, without one, this machine alone. Also the headers of all answers."""

from __future__ import annotations

import hmac
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/login", "/static/page.css")  # what the form for the token needs
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# plotly writes its own style element; everything else comes from files of this server.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a host, as given to ``--host`` or in a request, can only mean this machine."""
    return host.lower() in _LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


class Access:
    """ASGI middleware that answers 401 without the token, 403 to a foreign host name, and sets the security headers.

    Args:
        app: what is guarded.
        token: expected as ``Authorization: Bearer TOKEN``, or as the cookie that ``session`` belongs to; None where only
            this machine can ask. Its host name is checked then, so that no other site's page can reach it under a name of
            its own.
        session: the value of the cookie.
    """

    def __init__(self, app: ASGIApp, token: str | None, session: str) -> None:
        self._app = app
        self._token = token
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if self._token is None and not is_loopback(_host_name(headers.get("host", ""))):
            await JSONResponse({"detail": "host: expected this machine"}, 403)(scope, receive, send_guarded)
        elif scope["path"] in OPEN_PATHS or self._may(scope, headers):
            await self._app(scope, receive, send_guarded)
        elif scope["path"] == "/" and scope["method"] == "GET":
            await RedirectResponse("/login", 303)(scope, receive, send_guarded)
        else:
            refusal = JSONResponse(
                {"detail": "token: expected Authorization: Bearer TOKEN"}, 401, {"WWW-Authenticate": "Bearer"}
            )
            await refusal(scope, receive, send_guarded)

    def _may(self, scope: Scope, headers: Headers) -> bool:
        if self._token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same(given.strip(), self._token):
            return True
        # Not http.cookies, which loses all that follow on a cookie of another program that it cannot read.
        cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(scope))
        return cookie is not None and same(cookie, self._session)


def same(given: str, expected: str) -> bool:
    """Compares secrets in a time that says nothing about where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def cookie_name(scope: Scope) -> str:
    """Has the port in it: browsers send a host's cookies to all its ports, so two dashboards would sign each other out."""
    address = scope.get("server")
    return f"litesnn_dashboard_{address[1] if address else 0}"


def new_session() -> str:
    """A cookie's value: not the token, and worth nothing once the server has ended."""
    return secrets.token_urlsafe(32)


def _host_name(host: str) -> str:
    """``[::1]:80`` to ``::1``, ``localhost:80`` to ``localhost``."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
