"""What a registry lets know of a push: certain refusals are certain, everything else is not known, and nothing changes there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from airgap.errors import RegistryError
from airgap.oci.reference import Reference
from airgap.oci.stores import Outlook
from airgap.registry.outlook import granted
from tests.support.hostile import Hostile, Reply, Request, client

SAFE = {"GET", "HEAD", "OPTIONS"}


def error(status: int, code: str, message: str, **headers: str) -> Reply:
    return Reply(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers)


def asked(answer: Callable[[Request], Reply | None]) -> Outlook:
    """What is foretold of ``team/app:1`` where every other question is answered with 404; only safe methods are used."""
    with Hostile(lambda request: answer(request) or error(404, "NAME_UNKNOWN", "repository name not known")) as server:
        with client() as store:
            found = store.foretell(Reference.parse(f"{server.address}/team/app:1"))
        assert {one.method for one in server.requests} <= SAFE
        return found


def tags(reply: Reply) -> Callable[[Request], Reply | None]:
    return lambda request: reply if request.path.endswith("/tags/list") else None


def jwt(claims: object) -> str:
    packed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{packed}.c2ln"


def test_a_project_that_must_be_made_first_is_known_to_be_missing() -> None:
    found = asked(tags(error(404, "NOT_FOUND", "project team not found")))
    assert (found.exists, found.allowed) == (False, False)
    assert "project team not found" in found.why


def test_a_repository_that_must_be_made_first_is_known_to_be_missing() -> None:
    said = "The repository with name 'team/app' does not exist in the registry with id '123456789012'"
    found = asked(tags(error(404, "NAME_UNKNOWN", said)))
    assert (found.exists, found.allowed) == (False, False)
    assert said in found.why


def test_a_missing_repository_elsewhere_is_missing_and_nothing_more_is_known() -> None:
    found = asked(tags(error(404, "NAME_UNKNOWN", "repository name not known to registry")))
    assert (found.exists, found.allowed, found.why) == (False, None, "")


def test_a_registry_that_takes_no_uploads_is_known_to_be_read_only() -> None:
    def answer(request: Request) -> Reply | None:
        return Reply(200, b"", {"Allow": "GET, HEAD"}) if request.method == "OPTIONS" else None

    found = asked(answer)
    assert found.allowed is False
    assert "read-only" in found.why


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"", {"Allow": "GET, HEAD, POST"}),
        Reply(200, b"", {"Access-Control-Allow-Methods": "GET"}),
        Reply(405, b"", {"Allow": "GET, HEAD"}),
        Reply(204),
        Reply(403),
        Reply(301, b"", {"Location": "/elsewhere"}),
        Reply(500),
        Reply(0),
    ],
    ids=["post", "cors", "no options", "nothing", "denied", "redirect", "broken", "hang up"],
)
def test_nothing_is_concluded_from_a_registry_that_does_not_know_the_question(reply: Reply) -> None:
    def answer(request: Request) -> Reply | None:
        return reply if request.method == "OPTIONS" else Reply(200, b'{"tags":[]}')

    assert asked(answer).allowed is None


def test_a_registry_that_lets_us_read_nothing_will_not_take_anything() -> None:
    found = asked(lambda request: error(403, "DENIED", "requested access to the resource is denied"))
    assert (found.exists, found.allowed) == (None, False)
    assert "DENIED" in found.why


def test_who_may_not_list_may_push_all_the_same() -> None:
    def answer(request: Request) -> Reply | None:
        return error(403, "DENIED", "no ecr:ListImages") if request.path.endswith("/tags/list") else None

    found = asked(answer)
    assert (found.exists, found.allowed) == (None, None)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}]}, True),
        ({"access": [{"type": "repository", "name": "team/app", "actions": ["*"]}]}, True),
        ({"access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}]}, False),
        ({"access": [{"type": "repository", "name": "team/other", "actions": ["push"]}]}, False),
        ({"access": []}, False),
        ({"access": None}, False),
        ({"sub": "me"}, None),
        ("opaque", None),
    ],
    ids=["push", "all", "pull", "other", "none", "null", "no claim", "opaque"],
)
def test_a_token_that_does_not_allow_a_push_tells_so(claims: object, says: bool | None) -> None:
    token = jwt(claims) if isinstance(claims, dict) else "djE6b3BhcXVl"

    def answer(request: Request) -> Reply | None:
        if request.path == "/token":
            return Reply(200, json.dumps({"token": token}).encode())
        if "Authorization" not in request.headers:
            return Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{request.headers["Host"]}/token",service="x"'})
        return Reply(200, b'{"tags":[]}')

    assert asked(answer).allowed is says


def test_a_token_server_that_refuses_a_push_is_believed() -> None:
    def answer(request: Request) -> Reply | None:
        if request.path == "/token":
            may = "push" not in request.query["scope"][0]
            return Reply(200, b'{"token":"abc"}') if may else error(403, "DENIED", "access forbidden")
        if "Authorization" not in request.headers:
            return Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{request.headers["Host"]}/token",service="x"'})
        return Reply(200, b'{"tags":[]}')

    found = asked(answer)
    assert (found.exists, found.allowed) == (True, False)
    assert "access forbidden" in found.why


def test_a_registry_that_fails_is_an_error_and_no_outlook() -> None:
    with pytest.raises(RegistryError):
        asked(lambda request: Reply(503))


@pytest.mark.parametrize("token", ["", "..", "a.b.c", "a.!!!.c", jwt([]), jwt(None), jwt({"access": 1}), jwt({"access": [1, {}]})])
def test_tokens_of_strangers_break_nothing(token: str) -> None:
    assert granted(token, "team/app") in (None, frozenset())


def test_deep_claims_break_nothing() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 100_000).rstrip(b"=").decode()
    assert granted(f"e30.{deep}.c2ln", "team/app") is None
