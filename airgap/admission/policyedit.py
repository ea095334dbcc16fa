"""Change a site's policy: keys and image scopes are added and removed, and everything else in the file stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from airgap.errors import AirgapError, MediaError, UsageError
from airgap.text import listing, printable
from airgap.trust.keys.keyfiles import KeyFile, keyring_without, read_key_file
from airgap.trust.keys.keystore import ReadKey
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.policy.fields import decode_base64
from airgap.trust.policy.jsontext import with_value, without
from airgap.trust.policy.requirements import SignedBy, SigstoreSigned
from airgap.trust.policy.scopesyntax import AIRGAP
from airgap.trust.policy.templates import ACCEPT, REJECT, PolicyKey, Rule, bundle_rule, image_rule, key_field, signed_by

_DOCKER = "docker"
_FIELDS = ("keyPath", "keyPaths", "keyData", "keyDatas")


class PolicyEdit:
    """A policy in memory and what is done to it. Nothing is written here.

    Args:
        raw: the file's content.
        name: of the file, for messages.
        read_key: reads the key files that it names.

    Attributes:
        text: the file's content after the changes so far.
        before: the policy as it was.

    Raises:
        UsageError: it is no valid policy.
    """

    def __init__(self, raw: bytes, name: str, read_key: ReadKey) -> None:
        self.before = parse_policy(raw, name)
        self.text = raw.decode("utf-8")
        self._name = name
        self._read_key = read_key

    def after(self) -> Policy:
        """The policy as it is now. Raises ``UsageError``: the changes have made it too large."""
        return parse_policy(self.text.encode(), self._name)

    def add_bundle_keys(self, stream: str, keys: Sequence[PolicyKey], *, any_of: bool) -> None:
        """Require signatures of bundles by these keys, too; with ``any_of`` each is enough in place of those that are there.

        Raises:
            UsageError: there is no one requirement that the keys could be added to.
        """
        found = self._scope(AIRGAP, stream)
        if found is None or found in (REJECT, ACCEPT):
            self._set((AIRGAP, stream), bundle_rule(keys, any_of=any_of))
        elif any_of:
            self._join(AIRGAP, stream, found, keys)
        else:
            there = frozenset[str]().union(*(self._names(requirement) for requirement in found))
            new = [key for key in keys if key.names.isdisjoint(there)]
            for i, key in enumerate(new, len(found)):
                self._set((AIRGAP, stream, i), signed_by([key]))

    def add_image_rule(self, scope: str, rule: Rule) -> None:
        """Give an image scope its requirements. Raises ``UsageError`` if it has others."""
        found = self._scope(_DOCKER, scope)
        if found is None:
            self._set((_DOCKER, scope), rule)
        elif found != rule:
            raise self._other_rule(scope)

    def add_image_keys(self, scope: str, keys: Sequence[PolicyKey]) -> None:
        """Give an image scope keys of which any one is enough, together with those that it has.

        Raises:
            UsageError: the scope has no one requirement that the keys could be added to.
        """
        found = self._scope(_DOCKER, scope)
        if found is None:
            self._set((_DOCKER, scope), image_rule(keys))
        else:
            self._join(_DOCKER, scope, found, keys)

    def set_other_images(self, rule: Rule) -> None:
        """What applies to images without a scope of their own."""
        if self._scope(_DOCKER, "") != rule:
            self._set((_DOCKER, ""), rule)

    def remove_image(self, scope: str) -> None:
        """Take a scope of images away. Raises ``UsageError`` if there is none."""
        if self._scope(_DOCKER, scope) is None:
            raise self._no_scope(_DOCKER, scope)
        self.text = without(self.text, ("transports", _DOCKER, scope))

    def remove_image_key(self, scope: str, names: Collection[str]) -> None:
        """Take a key out of a scope of images. Raises as :meth:`remove_bundle_key`."""
        found = self._scope(_DOCKER, scope)
        if found is None:
            raise self._no_scope(_DOCKER, scope)
        if not self._remove_key(_DOCKER, scope, found, names):
            raise self._no_key(f'transports.{_DOCKER}["{printable(scope)}"]', names)

    def remove_bundle_key(self, names: Collection[str], stream: str | None) -> None:
        """Take a key out of the scopes of bundles, or of one stream. A scope that has no key left rejects everything.

        Args:
            names: what the key can be called: fingerprints, ids, and paths as the policy writes them.
            stream: only there; None: everywhere.

        Raises:
            UsageError: the policy does not name it there, or a file holds other keys besides.
        """
        scopes = self._document().get("transports", {}).get(AIRGAP, {})
        if stream is not None and stream not in scopes:
            raise self._no_scope(AIRGAP, stream)
        chosen = scopes if stream is None else {stream: scopes[stream]}
        if not [scope for scope, found in chosen.items() if self._remove_key(AIRGAP, scope, found, names)]:
            raise self._no_key(f"transports.{AIRGAP}", names)

    def still_names(self, names: Collection[str]) -> list[str]:
        """The image scopes that name one of these keys."""
        scopes: dict[str, Rule] = self._document().get("transports", {}).get(_DOCKER, {})
        return [scope for scope, found in scopes.items() if any(not self._names(one).isdisjoint(names) for one in found)]

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text)
        return document

    def _scope(self, transport: str, scope: str) -> Rule | None:
        found: Rule | None = self._document().get("transports", {}).get(transport, {}).get(scope)
        return found

    def _set(self, place: tuple[str | int, ...], value: Any) -> None:
        self.text = with_value(self.text, ("transports", *place), value)

    def _join(self, transport: str, scope: str, found: Rule, keys: Sequence[PolicyKey]) -> None:
        kind = signed_by(keys)["type"]
        fitting = [i for i, one in enumerate(found) if one["type"] == kind and _KeysOf(one).are_named]
        if len(fitting) != 1:
            raise (
                self._other_rule(scope)
                if transport == _DOCKER
                else UsageError(
                    "there is no one requirement that these keys can be added to",
                    where=f'{printable(self._name)}: transports.{AIRGAP}["{printable(scope)}"]',
                    expected=f"one requirement of type {kind}",
                    got=str(len(fitting)),
                    hint="without --any, every bundle must be signed by the new key as well",
                )
            )
        joined = self._joined(found[fitting[0]], keys)
        if joined != found[fitting[0]]:
            self._set((transport, scope, fitting[0]), joined)

    def _joined(self, requirement: dict[str, Any], keys: Sequence[PolicyKey]) -> dict[str, Any]:
        there, known = _KeysOf(requirement), self._names(requirement)
        new = [key for key in keys if key.names.isdisjoint(known)]
        if not new:
            return requirement
        if new[0].path:
            if there.datas:
                what = "keys that the policy holds and keys that it names by path cannot be in one requirement"
                raise UsageError(what, where=printable(self._name), hint="leave --by-path out")
            return there.replaced([*there.paths, *(key.path for key in new)], [])
        held = [read_key_file(data).data for data in (*map(self._read_key, there.paths), *there.datas)]
        return there.replaced([], [*held, *(key.data for key in new)])

    def _remove_key(self, transport: str, scope: str, found: Rule, names: Collection[str]) -> bool:
        """Whether the scope named the key."""
        left = [self._without(requirement, names) for requirement in found]
        if left == found:
            return False
        if not any(left):
            self._set((transport, scope), REJECT)
            return True
        for i, requirement in reversed(list(enumerate(left))):
            if requirement is None:
                self.text = without(self.text, ("transports", transport, scope, i))
            elif requirement != found[i]:
                self._set((transport, scope, i), requirement)
        return True

    def _without(self, requirement: dict[str, Any], names: Collection[str]) -> dict[str, Any] | None:
        """The requirement without the key; None if there is no other key in it."""
        there = _KeysOf(requirement)
        paths = [path for path in there.paths if not self._is_only(path, names)]
        datas = [rest for data in there.datas if (rest := _data_without(data, names))]
        if paths == there.paths and datas == there.datas:
            return requirement
        return there.replaced(paths, datas) if paths or datas else None

    def _is_only(self, path: str, names: Collection[str]) -> bool:
        """Whether a key file holds the key, and nothing else."""
        if path in names:
            return True
        found = self._file(path)
        if found is None or found.names.isdisjoint(names):
            return False
        if others := found.besides(names):
            what = "the key file holds other keys besides, and a policy cannot leave one of them out"
            hint = "take the key out of the file, or remove the file from the policy by its path"
            raise UsageError(what, where=printable(path), got=f"also {listing(list(others), 4)}", hint=hint)
        return True

    def _names(self, requirement: dict[str, Any]) -> frozenset[str]:
        """Everything that the keys of a requirement can be called; nothing of those that cannot be read."""
        there = _KeysOf(requirement)
        files = [*map(self._file, there.paths), *map(_held, there.datas)]
        return frozenset(there.paths).union(*(file.names for file in files if file is not None))

    def _file(self, path: str) -> KeyFile | None:
        try:
            return read_key_file(self._read_key(path))
        except MediaError:  # the disk fails: nothing is known about the key
            raise
        except AirgapError:
            return None

    def _other_rule(self, scope: str) -> UsageError:
        return UsageError(
            "the scope has other requirements, which are not replaced",
            where=f'{printable(self._name)}: transports.{_DOCKER}["{printable(scope)}"]',
            hint=f"remove it first: airgap policy remove FILE --image {printable(scope)}",
        )

    def _no_scope(self, transport: str, scope: str) -> UsageError:
        there = [one or '""' for one in self._document().get("transports", {}).get(transport, {})]
        return UsageError(
            "the policy has no such scope",
            where=f"{printable(self._name)}: transports.{transport}",
            expected=f"one of {listing([printable(one) for one in there], 12)}" if there else "",
            got=printable(scope) or '""',
        )

    def _no_key(self, where: str, names: Collection[str]) -> UsageError:
        return UsageError(
            "the policy does not name this key",
            where=f"{printable(self._name)}: {where}",
            got=printable(min(names, key=len)),
            hint="airgap policy check FILE shows the keys",
        )


class _KeysOf:
    """The keys of a requirement as they stand in the file."""

    def __init__(self, requirement: dict[str, Any]) -> None:
        self._requirement = requirement
        path, data = requirement.get("keyPath"), requirement.get("keyData")
        self.paths: list[str] = [path] if path else list(requirement.get("keyPaths", ()))
        self.datas: list[bytes] = [decode_base64(one) or b"" for one in ([data] if data else requirement.get("keyDatas", ()))]
        self.are_named = any(field in requirement for field in _FIELDS)

    def replaced(self, paths: Sequence[str], datas: Sequence[bytes]) -> dict[str, Any]:
        """The requirement with other keys, in the place of its own; all its other fields stay."""
        new = key_field(paths, datas, openpgp=self._requirement["type"] == "signedBy")
        result: dict[str, Any] = {}
        for field, value in self._requirement.items():
            result |= new if field in _FIELDS else {field: value}
        return result


def _held(data: bytes) -> KeyFile | None:
    """The keys in the policy itself; None if they cannot be read."""
    try:
        return read_key_file(data)
    except MediaError:
        raise
    except AirgapError:
        return None


def _data_without(data: bytes, names: Collection[str]) -> bytes:
    found = _held(data)
    if found is None or found.names.isdisjoint(names):
        return data
    return keyring_without(data, names) if found.openpgp else b""


def has_bundle_key(policy: Policy) -> bool:
    """Whether any bundle can be accepted for its signature."""
    scopes = policy.transports.get(AIRGAP, {})
    rules = [*scopes.values(), *([] if "" in scopes else [policy.default])]
    return any(isinstance(one, SignedBy | SigstoreSigned) for found in rules for one in found)
