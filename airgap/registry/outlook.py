"""What a registry reveals about a push in advance, by safe methods only (RFC 9110 section 9.2.1): nothing changes there.

A registry says for certain that a push will fail in these ways: its token server refuses the token, or gives one that does not
allow it (distribution "Token Authentication Implementation", claim ``access``); the methods that uploads allow lack POST
(docker-registry that is read-only); a project is missing that must be there (Harbor), or a repository (Amazon ECR).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

from airgap.errors import RegistryError
from airgap.oci.reference import Reference, Repository
from airgap.oci.stores import Outlook
from airgap.registry.http.refusals import read_errors, refusal
from airgap.registry.http.transport import PUSH, Call, Transport
from airgap.text import printable

_PROJECT_MISSING = re.compile(r"project \S+ not found", re.IGNORECASE)
_ECR_MISSING = re.compile(r"repository with name \S+ does not exist", re.IGNORECASE)
_ECR = re.compile(r"\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com", re.IGNORECASE)
_DENIED = frozenset({401, 403})


def foretell(transport: Transport, reference: Reference) -> Outlook:
    """Ask about the repository of a name that is to be pushed.

    Raises:
        RegistryError: the registry cannot be reached or fails.
    """
    repository = reference.repository
    exists, refusal = _exists(transport, reference)
    refusal = refusal or _uploads(transport, repository)
    allowed, said = _token(transport, repository)
    if allowed is False:
        refusal = refusal or said
    return Outlook(repository, exists, False if refusal else allowed, refusal)


def _exists(transport: Transport, reference: Reference) -> tuple[bool | None, str]:
    """Whether the repository is there, and why a push to it will fail."""
    repository = reference.repository
    with transport.slots.held(repository.host):
        answer = transport.call(Call("GET", repository, "tags/list?n=1"))
        if answer.status == 200:
            answer.close()  # how many tags there are is nothing to us
            return True, ""
        if answer.status >= 500:
            raise refusal(answer, "the registry does not list its tags")
        codes, said = read_errors(answer)
        answer.finish()
        if answer.status == 404:
            return False, _must_exist(transport, repository, said)
        if answer.status not in _DENIED:
            return None, ""
        # pushing does not need the right to list: the manifest is what an import asks for
        head = transport.call(Call("HEAD", repository, f"manifests/{reference.selector}"))
        head.finish()
    if head.status in _DENIED:
        reason = f"{answer.status} {said or ', '.join(codes)}".strip()
        return None, f"the registry does not allow reading there: {printable(reason, 300)}"
    return (True if head.status == 200 else None), ""


def _must_exist(transport: Transport, repository: Repository, said: str) -> str:
    if _PROJECT_MISSING.search(said):
        return f"its project does not exist, and a push does not create it: {said}"
    challenge = transport.challenge(repository)
    is_ecr = _ECR.search(repository.host) or "ecr.amazonaws.com" in challenge.service or _ECR.search(challenge.realm)
    if is_ecr or _ECR_MISSING.search(said):
        return f"it does not exist, and a push does not create it: {said}"
    return ""


def _uploads(transport: Transport, repository: Repository) -> str:
    """Why no upload will be taken; ``""`` when that is not said. Many registries know nothing of this question."""
    try:
        answer = transport.call(Call("OPTIONS", repository, "blobs/uploads/", PUSH, repeatable=False))
    except RegistryError:  # it has answered before: the question is what it does not like
        return ""
    answer.finish()
    allowed = {method.strip().upper() for method in answer.header("Allow").split(",")}
    if answer.status in (200, 204) and "GET" in allowed and "POST" not in allowed:
        return f"the registry is read-only: uploads allow {printable(', '.join(sorted(allowed)), 100)}"
    return ""


def _token(transport: Transport, repository: Repository) -> tuple[bool | None, str]:
    """Whether our token allows a push, and why not; None where tokens do not tell."""
    if transport.challenge(repository).scheme != "bearer":
        return None, ""
    try:
        header = transport.authorization(Call("GET", repository, "", PUSH))
    except RegistryError as error:
        return False, f"{error.what}: {error.got}" if error.got else error.what
    actions = granted(header.removeprefix("Bearer "), repository.path)
    if actions is None:
        return None, ""
    if actions & {"push", "*"}:
        return True, ""
    return False, f"the token does not allow a push, only: {printable(', '.join(sorted(actions)) or 'nothing', 100)}"


def granted(token: str, path: str) -> frozenset[str] | None:
    """What a token allows for a repository, None if it does not say. The registry checks its signature, not airgap."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, Mapping) or "access" not in claims:
        return None
    access = claims["access"] or ()  # what is granted nothing has null in some (Go)
    if not isinstance(access, list | tuple):
        return None
    found: set[str] = set()
    for one in access:
        if isinstance(one, Mapping) and one.get("type") == "repository" and one.get("name") == path:
            actions = one.get("actions")
            found |= {action for action in actions if isinstance(action, str)} if isinstance(actions, list) else set()
    return frozenset(found)
