"""Under which heading the help shows an option, and what it calls the option's value. One table for all commands."""

from __future__ import annotations

#: Headings in the order of the help, each with its options. A test holds that every option has one.
_PANELS = {
    "What": "stream platform without attach resend lock update allow-lost-signatures strict include-possible ignore apply keep "
    "values allow-left-out "
    "unlisted remove-new partial repair dry-run yes replace names scan source repository trust-manifests deep held-at "
    "subset custody carry-root generations limit show list format mode exact site type check-only python glibc musl standalone "
    "all user password-stdin bundle any media rate namespace for",
    "Where to": "out bundles to plan request result results in-place map replace-names digest-tags lookaside scratch force ca",
    "The bundle": "again serial volume-size parity created expires encrypt-to restart",
    "Trust": "key no-passphrase public-key passphrase-file policy bundle-policy accept-unverified-bundles allow-expired-bundles "
    "revoked decrypt-key sign-by site-key since-key custody-key require-custody require-signed accept-unnamed-sigstore-bundles "
    "unnamed-signatures unnamed attestations trusted-root root-warn-age root-max-age ignore-signed-name verify-images max-age "
    "image image-default by-path allow-no-key allow-expired allow-clock-behind allow-fork allow-jump allow-older",
    "Gates": "gate gate-timeout",
    "Custody": "who where at note",
    "Incremental": "since patch patch-level",
    "Reaching registries": "authfile registries-conf registries-d cert-dir insecure-registry no-referrers-api",
    "Speed": "threads scheduler per-host limit-rate min-rate registry-patience",
    "State and turns": "state init-state wait no-lease break-lease",
    "Watching": "once interval settle patience",
    "Serving": "listen admin tls-cert tls-key htpasswd max-connections grace",
    "Output": "open json quiet verbose config version help",
}
_OTHER = "Other options"
HEADINGS = (*_PANELS, _OTHER)
_HEADING = {option: heading for heading, options in _PANELS.items() for option in options.split()}

#: What the value of an option is called where its declaration does not say it.
_METAVARS = {
    "bundle": "DIR",
    "created": "TIME",
    "at": "TIME",
    "expires": "TIME|DAYSd",
    "out": "DIR",
    "parity": "N",
    "passphrase-file": "FILE",
    "key": "KEY",
    "platform": "OS/ARCH",
    "policy": "FILE",
    "public-key": "FILE",
    "serial": "N",
    "state": "DIR",
    "stream": "NAME",
    "threads": "N",
    "user": "NAME",
    "volume-size": "SIZE",
}


def heading_of(option: str) -> str:
    """The heading for an option, by its long name without dashes."""
    return _HEADING.get(option, _OTHER)


def metavar_of(option: str) -> str | None:
    """What the help calls the value of an option that does not say it itself."""
    return _METAVARS.get(option)
