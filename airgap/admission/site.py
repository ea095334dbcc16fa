"""What a site trusts, as it lies in files: its policy, the keys that the policy names, and the keys it no longer believes."""

from __future__ import annotations

from pathlib import Path

from airgap import fsio
from airgap.errors import Refused, UsageError
from airgap.format import names
from airgap.limits import MAX_KEYRING, MAX_POLICY, MAX_SETTINGS, MAX_TRUSTED_ROOT
from airgap.text import printable
from airgap.trust.keys.revoked import Revoked
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.sigstore.trustedroot import TrustedRoot

#: The list of revoked keys in a state directory.
REVOKED = "revoked.txt"


def read_policy(path: Path | None) -> tuple[Policy, str]:
    """The site's policy and its name: ``--policy``, else the user's or the system's containers-policy.json.

    A policy that is not named on the command line is used only if it has a scope for bundles: the file that distributions ship
    accepts everything.

    Raises:
        Refused: there is none.
        UsageError: there is a mistake in it, or it cannot be read.
    """
    if path is not None:
        return parse_policy(fsio.read_input(path, MAX_POLICY, "policy"), str(path)), str(path)
    for candidate in (home() / ".config/containers/policy.json", Path("/etc/containers/policy.json")):
        if candidate.exists():
            policy = parse_policy(fsio.read_input(candidate, MAX_POLICY, "policy"), str(candidate))
            if policy.has_bundle_scope:
                return policy, str(candidate)
            break
    raise Refused(
        "no policy says which bundles to trust",
        expected="--policy FILE, or an `airgap` transport in ~/.config/containers/policy.json or /etc/containers/policy.json",
        hint="write one with the sender's public key: airgap policy init --public-key sender.pub -o policy.json",
    )


def read_key(name: str) -> bytes:
    """Read a key file that a policy names."""
    return fsio.read_input(Path(name), MAX_KEYRING, "key file")


def read_revoked(path: Path | None, state: Path) -> Revoked:
    """The keys that the site has revoked: those in the file and those in ``revoked.txt`` in the state directory.

    Raises:
        UsageError: a file cannot be read or has a mistake in it.
    """
    files = ([path] if path is not None else []) + ([state / REVOKED] if (state / REVOKED).exists() else [])
    found = Revoked()
    for file in files:
        found = found.joined(Revoked.parse(fsio.read_input(file, MAX_SETTINGS, "list of revoked keys"), str(file)))
    return found


def read_trusted_root(path: Path) -> TrustedRoot:
    """The Sigstore instance that the site trusts, from a ``trusted_root.json`` of its own.

    Raises:
        UsageError: it cannot be read or has a mistake in it.
        Refused: it lies with a bundle, which must not bring what it is judged by.
    """
    with fsio.disk_errors("cannot read the trusted root", path):
        place = path.resolve().parent
    for directory in (place, *place.parents):
        if fsio.is_there(directory / names.CATALOG):
            raise Refused(
                "a trusted root that lies with a bundle is not used",
                where=printable(str(path)),
                expected="a file of the site's own",
                got=f"a bundle: {printable(str(directory))}",
                hint="copy it to a place of the site's own, if you trust it",
            )
    return TrustedRoot.parse(fsio.read_input(path, MAX_TRUSTED_ROOT, "trusted root"), printable(str(path)))


def home() -> Path:
    """The user's home directory. Raises ``UsageError`` if there is none, as for an unknown user in a container."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise UsageError("this user has no home directory", hint="set HOME, or give --policy and --state") from error
