"""What answers at an address: the registry, the desk beside it, and the gate before both."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from airgap.server.access import Gate
from airgap.server.catalogue import Catalogue
from airgap.server.desk import HEALTH, STATUS, Desk
from airgap.server.http import USUAL, HttpServer, Limits, Listener, Service
from airgap.server.monitor import Monitor
from airgap.server.routes import answer
from airgap.server.wire import Request, Response, problem


def registry_service(
    catalogue: Callable[[], Catalogue], gate: Callable[[], Gate] | None = None, desk: Desk | None = None
) -> Service:
    """The registry, with the desk beside it when that has no address of its own.

    Args:
        catalogue: gives what is served now.
        gate: gives who decides who gets in; None lets everybody in.
        desk: what is beside the registry.
    """

    def service(request: Request) -> Response:
        path = request.target.partition("?")[0]
        at_desk = desk.answer if desk is not None and not path.startswith("/v2") else _nothing
        if path == HEALTH and (found := at_desk(path)):
            return found
        user = "" if gate is None else gate().admit(request.headers.get("authorization"))
        if isinstance(user, Response):
            return user
        found = at_desk(path) or answer(catalogue(), request.target, request.headers)
        found.user = user
        return found

    return service


def desk_service(desk: Desk, gate: Callable[[], Gate] | None = None) -> Service:
    """The desk alone, at an address of its own; there the status page is also the front page."""

    def service(request: Request) -> Response:
        path = request.target.partition("?")[0]
        path = STATUS if path == "/" else path
        user = "" if gate is None or path == HEALTH else gate().admit(request.headers.get("authorization"))
        if isinstance(user, Response):
            return user
        found = desk.answer(path) or problem(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "no such page")
        found.user = user
        return found

    return service


def _nothing(path: str) -> Response | None:  # noqa: ARG001 - in place of a desk
    return None


class RegistryServer(HttpServer):
    """A registry over one catalogue, open to everybody, with nothing beside it.

    Args:
        catalogue: what is served.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        log: gets one line for each request and each error; called from many threads.
        limits: what a client may use up.
    """

    def __init__(self, catalogue: Catalogue, host: str, port: int, log: Callable[[str], None], limits: Limits = USUAL) -> None:
        super().__init__([Listener(host, port, registry_service(lambda: catalogue))], Monitor(log, log), limits=limits)
