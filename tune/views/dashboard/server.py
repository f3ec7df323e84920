"""The dashboard's web application: JSON, downloads, a stream of changes, and the page. Nothing is ever written.

Names in a request are compared with those found in the storage; none is used as a path before.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware

from litesnn.checks import InputError
from tune.results.published import published
from tune.storage.paths import StoragePath, local_copy
from tune.views.dashboard import answers
from tune.views.dashboard.access import Access, cookie_name, new_session, same
from tune.views.dashboard.snapshot import Snapshot
from tune.views.dashboard.watch import Watcher
from tune.views.page.details import details
from tune.views.page.experiment import listed
from tune.views.page.files import STATIC, served_page, static_file

_LOGIN = Path(__file__).with_name("login.html")
_LONGEST_LOGIN = 4096  # bytes
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": answers.Problem}}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    503: {"model": answers.Problem, "description": "Too many streams are open"},
}


def app(
    storage: StoragePath,
    token: str | None = None,
    stopping: threading.Event | None = None,
    interval: float = 1.0,
) -> FastAPI:
    """The application.

    Args:
        storage: the folder of all experiments, which need not exist yet, or a bucket's.
        token: what every request must carry; None where only this machine can ask.
        stopping: once set, streams of changes end, so that the server can.
        interval: seconds between two looks at the storage; answers may be that old.

    Raises:
        InputError: a local path that is no folder, or cannot be read.
    """
    snapshot = Snapshot(storage, interval)
    session = new_session()
    watcher = Watcher(snapshot, interval, stopping or threading.Event())
    web = FastAPI(title="LitE-SNN dashboard", description="Results of experiments, as they are on disk.", docs_url=None)
    web.redoc_url = None
    web.add_middleware(GZipMiddleware, minimum_size=10_000)
    web.add_middleware(Access, token=token, session=session)
    web.add_exception_handler(RequestValidationError, _invalid)
    web.add_exception_handler(InputError, _unreadable)
    _add_results(web, snapshot)
    _add_pages(web)

    @web.get("/api/events", response_class=StreamingResponse, responses=_STREAM)
    async def events() -> StreamingResponse:
        """Server-sent events: the version of every experiment at first, then of each that changes or goes (null).

        An event named ``storage`` says why the storage cannot be read (``error``), and when it can again (null).
        """
        if watcher.is_full():
            raise HTTPException(503, "events: expected fewer open pages, got too many", {"Retry-After": "30"})
        return StreamingResponse(watcher.changes(), media_type="text/event-stream")

    @web.post("/login", status_code=303, response_class=RedirectResponse)
    async def login(request: Request) -> Response:
        """Sets the cookie that stands for the token, given as the field ``token`` of a form."""
        given = await _token_field(request)
        if token is None:
            return RedirectResponse("/", 303)
        if not same(given, token):
            return RedirectResponse("/login?wrong=1", 303)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(cookie_name(request.scope), session, httponly=True, samesite="strict", secure=secure)
        return answer

    return web


def _add_results(web: FastAPI, snapshot: Snapshot) -> None:
    """What is known of experiments and trials. Plain functions: they read the disk, in threads of their own."""

    @web.get("/api/experiments", response_model=answers.Experiments)
    def experiments() -> Response:
        """All experiments, sorted by name."""
        found = [shown for name in snapshot.names() if (shown := snapshot.experiment(name)) is not None]
        return _json({"experiments": [listed(shown) for shown in found], "error": snapshot.error})

    @web.get("/api/experiments/{name}", response_model=answers.Experiment, responses=_MISSING)
    def experiment(name: str) -> Response:
        """One experiment with all its trials."""
        shown = snapshot.experiment(name)
        if shown is None:
            raise _missing("experiment", name)
        return _json(shown)

    @web.get("/api/experiments/{name}/trials/{trial}", response_model=answers.TrialDetails, responses=_MISSING)
    def one_trial(name: str, trial: str) -> Response:
        """One trial: learning curves, genotype, the cell drawn."""
        folder = _folder(snapshot, name, trial)
        shown = snapshot.experiment(name)
        row = next((row for row in (shown or {}).get("trials", []) if row["trial"] == trial), None)
        if row is None:
            raise _missing("trial", trial)
        more = details(folder, f"{name}/{trial}", snapshot.model_bytes(name, trial))
        return _json({"experiment": name, "trial": row, **more})

    def add_download(file: str, kind: str) -> None:
        path = f"/api/experiments/{{name}}/trials/{{trial}}/{file}"

        @web.get(path, response_class=FileResponse, responses=_MISSING, name=file, summary=f"Download {file}")
        def download(name: str, trial: str) -> FileResponse:
            folder = _folder(snapshot, name, trial)
            with ExitStack() as stack:
                found = stack.enter_context(local_copy(folder / file))  # of a file in a bucket, until it is sent
                if found is None:
                    raise _missing(file, f"none in {trial} yet")
                sent = BackgroundTask(stack.pop_all().close)
            return FileResponse(found, media_type=kind, filename=f"{name}-{trial}-{file}", background=sent)

    add_download("genotype.json", "application/json")
    add_download("model.safetensors", "application/octet-stream")

    @web.get("/api/published", response_model=answers.PublishedNetworks)
    def literature() -> Response:
        """Networks of the literature to compare with."""
        return _json({"networks": published()})


def _add_pages(web: FastAPI) -> None:
    @web.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(served_page())

    @web.get("/login", response_class=HTMLResponse, include_in_schema=False)
    def form(wrong: str | None = None) -> HTMLResponse:
        text = _LOGIN.read_text(encoding="utf-8")
        return HTMLResponse(text if wrong is None else text.replace("<p hidden", "<p"))

    @web.get("/static/{file:path}", include_in_schema=False)
    def static(file: str, request: Request) -> Response:
        if file not in STATIC:
            raise _missing("file", file)
        found = static_file(file)
        # A browser keeps these files and asks whether they are still the same.
        headers = {"ETag": found.tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(found.content, media_type=STATIC[file], headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=STATIC[file], headers=headers)


async def _token_field(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_LOGIN:
            raise HTTPException(413, "token: expected a short form")
    fields = parse_qs(body.decode(errors="replace"))
    if len(fields.get("token", [])) != 1:
        raise HTTPException(422, "token: expected a form with this one field")
    return fields["token"][0].strip()


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """One line, and nothing of what was sent."""
    assert isinstance(error, RequestValidationError)
    lines = [f"{'.'.join(map(str, entry['loc'][1:]))}: {entry['msg']}" for entry in error.errors()]
    return JSONResponse({"detail": "; ".join(lines)}, 422)


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    """A file that cannot be read now; where it lies is not the page's to tell."""
    place, colon, reason = str(error).partition(": ")
    return JSONResponse({"detail": f"{place.rpartition('/')[2]}{colon}{reason}"}, 503)


def _folder(snapshot: Snapshot, name: str, trial: str) -> StoragePath:
    found = snapshot.folder(name, trial)
    if found is None:
        raise _missing("trial", f"{name}/{trial}")
    return found


def _missing(what: str, name: str) -> HTTPException:
    return HTTPException(404, f"{what}: expected one that is there, got {name[:200]}")


def _json(values: Any) -> Response:
    """Written out as it is: checking thousands of rows against their model at each request would take longest."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return Response(text.encode("utf-8", errors="replace"), media_type="application/json")
