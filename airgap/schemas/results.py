"""What every command prints with ``--json``, by the name of its result; the notation is that of :mod:`airgap.schemas.notation`."""

from __future__ import annotations

import re

from airgap.schemas.notation import optional

_PART = re.compile(r"[A-Z]+\b\??")
_PARTS = {
    "BUNDLE": "bundle stream serial catalog image_count volume_count bytes scope signers reasons",
    "DECIDED": "image instance platform scope accepted decisions(requirement accepted reason signature key unnamed_scope"
    " demand_scope attestation(digest predicate_type builder sources))",
    "ERROR": "error where? expected? got? next?",
    "POINTED": "digest size media_type artifact_type",
    "IMAGE": "reference POINTED platforms omitted foreign_layers attachments(kind subject tag POINTED) volume_numbers",
    "SAVED": "held_blobs held_bytes patched_blobs patched_bytes patch_bytes",
    "SORT": "kind artifact_type of is_signature count",
    "SHOWN": "reference digest platforms attachment_count signature_count is_signature",
    "SIDE": "name kind image_count blob_count bytes full_bytes held_blobs? held_bytes? patched_blobs? patched_bytes? patch_bytes?",
    "CHANGE": "reference from to platforms_gained platforms_lost left_out_count no_longer_left_out_count"
    " gained(SORT) lost(SORT) replaced(SORT) signatures_lost",
    "CHANGES": "policy policy_changes(change transport scope requirements_before requirements decided_by) warnings",
    "BLOBS": "count bytes digests",
    "DIFF": "a(SIDE) b(SIDE) same verified added(SHOWN) removed(SHOWN) moved(CHANGE) changed(CHANGE) unchanged_count"
    " compared_blobs(shared(BLOBS) only_a(BLOBS) only_b(BLOBS))",
    "EXPORTED": "bundle path stream serial image_count blob_count volume_count bytes parity_count parity_bytes SAVED key_ids"
    " encrypted_to already_there unchanged created remarks carries_root judgements(DECIDED)"
    " gates(image digest platform command passed status)",
    "IMPORTED": "names(source destination) rebuilt left_out not_held without"
    " repaired(file present rebuilt_blocks copied_blocks) judgements(DECIDED) already_there"
    " sent_bytes sent_blobs present_blobs mounted_blobs rebuilt_blobs dropped_signatures",
    "FILE": "name size sha256",
    "TRUSTED": "part name id begins ends",
    "FOUND": "reference places(file line inside?) remarks",
    "PLACED": "file line inside? what got next",
    "DISCOVERED": "images(FOUND) possible(FOUND) unresolved(PLACED) noted(PLACED) file_count list",
    "CHECKED": "result exit_code bundles(bundle stream serial catalog result complete subset repair"
    " media(path disk problems notes contradicting foreign)"
    " files(name size state disk expected_here lost_blocks resent_blocks"
    " copies(path good trouble damaged_blocks unreadable_blocks other_file))"
    " lost_images unreadable(ERROR))",
}

#: Title and keys of the results, by name: that of the command, unless it has several or a document has that name.
_SINGLE: dict[str, tuple[str, str]] = {
    "config-check": ("a configuration without mistakes", "config stream_names has_site"),
    "config-show": (
        "the value of every option, and what gives it",
        "config sections(section options(option value given_by where) not_set) unknown_variables",
    ),
    "diff": ("what differs between two bundles, catalogs, locks or receipts", "DIFF"),
    "discover": ("images named in deployment files; with --strict also why it failed", "DISCOVERED ERROR? exit_code?"),
    "docs": ("where the documents are", "documents page"),
    "error": ("what every command prints when it does not succeed", "ERROR exit_code"),
    "export": ("a finished bundle", "EXPORTED"),
    "export-resend": ("a supplement made with --resend", "supplement bundle file_names blocks bytes already_there"),
    "history": (
        "what was exported, imported, refused or interrupted",
        "history(at event stream serial catalog target outcome reason exit_code)",
    ),
    "history-custody": (
        "who carried the imported bundles, with --custody",
        "custody(stream serial digest medium at who where note result vouched)",
    ),
    "get": ("files taken out of an artifact", "image files(path bytes digest)"),
    "history-generations": (
        "what targets hold, with --generations",
        "generations(target stream serial catalog at in_force pruned moment unsure"
        " brought(name digest is_image roots source signed_as))",
    ),
    "import": ("a loaded bundle", "BUNDLE target IMPORTED remarks"),
    "import-dry-run": (
        "what an import would do, with --dry-run",
        "BUNDLE target dry_run names(source destination now then change) rebuilt left_out without remarks"
        " send_bytes send_blobs present_blobs held_blobs repositories(repository exists push_allowed) unknown",
    ),
    "init": ("a new configuration", "config stream target"),
    "inspect": (
        "what a bundle says about itself, not verified",
        "bundle stream serial created expires tool previous images(IMAGE) blob_count volumes(FILE present)"
        " parity(FILE present) bytes signatures encrypted_to carries_root verified",
    ),
    "keys-generate": ("a new pair of keys", "private public key_id type encrypted"),
    "login": ("a stored login", "registry user stored_in password_checked"),
    "logout": ("removed logins", "forgotten authfile"),
    "media-check": ("whether media are complete and undamaged", "CHECKED"),
    "media-copy": ("a copied bundle, or the plan of a copy", "bundle disks(disk path bytes file_names) planned written"),
    "media-log": ("a new custody entry", "catalog key_id logs(log number digest problems)"),
    "media-log-show": (
        "the custody logs of media, with --show",
        "entries(medium number digest at who where note check(result exit_code digest) key_id verified vouched) problems",
    ),
    "media-repair": (
        "what was repaired",
        "bundle volume_count parity_count repaired(file present rebuilt_blocks copied_blocks damaged_blocks path)"
        " spare_blocks rows_by_spare_blocks request",
    ),
    "merge": ("a bundle merged from others", "EXPORTED merged notes"),
    "mirror-config": ("configuration for hosts", "target format mode? key_files? image_count? paths warnings"),
    "plan": (
        "what an export would fetch and write",
        "images(reference digest platforms attachment_count new_bytes shared_bytes held_bytes omitted_count foreign_layers"
        " volume_numbers) volumes(name size) parity(name size) parity_bytes blob_count download bundle_bytes held_blobs held_bytes"
        " patches_tried patches_save remarks seconds? free?",
    ),
    "policy-add": ("a changed policy", "CHANGES unnamed_signatures"),
    "policy-check": (
        "what a policy requires",
        "policy scopes(transport scope requirements) advice(level where what next)"
        " hosts(host reads unread_fields unread_signatures)",
    ),
    "policy-explain": (
        "which scope of a policy applies to images",
        "policy trusted_root remarks images(reference scope scopes_tried requirements unnamed_accepted unnamed_scope demand_scope"
        " demands accepted? instances(DECIDED)?)",
    ),
    "policy-init": (
        "a new policy",
        "policy key_files stream image_scopes(scope requirements) image_default embedded unnamed_signatures warnings",
    ),
    "policy-remove": ("a changed policy", "CHANGES"),
    "prune-result": (
        "what prune removed, or would remove",
        "target applied generations(stream serial in_force keep) removed_names(name digest) removed_manifests removed_blobs stay"
        " unlisted already_applied remarks",
    ),
    "receipt-result": (
        "a written receipt",
        "receipt site target created streams(serial catalog) repository_count tag_count manifest_count blob_count bytes"
        " receipt_bytes signature_files",
    ),
    "report": (
        "a written page about a bundle",
        "report report_bytes bundle catalog image_count compared_with sbom_count verified signers remarks",
    ),
    "resolve": ("a resolved image list", "images(IMAGE) manifest_count lock changes(DIFF) remarks"),
    "rollback": (
        "the names of a stream moved to another generation",
        "target stream serial moved_names(name before after) new_names(name kept) unmoved taken remarks",
    ),
    "schema": ("the schemas that there are", "schemas(name title)"),
    "serve-event": (
        "one line that serve prints: serving, stopping, stopped",
        "at event message url? status_url? tls? passwords? verified? bundles(bundle stream serial catalog)?",
    ),
    "sign": ("another signature of a bundle", "bundle signatures"),
    "toolkit": ("a written toolkit", "toolkit bytes machines lacking standalone wheels(file sha256)"),
    "toolkit-checker": ("a written checker, with --check-only", "checker"),
    "trust-pin": ("a pinned root of a Sigstore instance", "root_version root_digest already_there"),
    "trust-show": (
        "what is installed of a Sigstore instance",
        "installed root_version root_digest current source age_days parts(TRUSTED) warnings",
    ),
    "trust-update": (
        "a newer trusted root of a Sigstore instance, installed or only shown",
        "installed source root_version_before root_version root_digest current root_changes(change TRUSTED) remarks",
    ),
    "verify": ("a verified bundle", "BUNDLE verified judgements(DECIDED) rebuilt_blobs? not_rebuilt?"),
    "version": ("the version", "version"),
    "watch-event": (
        "one line that watch prints for every event",
        "at event bundle message outcome? ERROR? exit_code? waits_for? result_file? stream? serial? catalog? target?"
        " image_count? volume_count? bytes? scope? signers? reasons? IMPORTED? remarks?",
    ),
}

#: Results of commands that go through several bundles on the same media, one after the other.
_OF_EACH = ("import", "import-dry-run", "inspect", "media-log", "media-log-show", "report", "verify")


def spelled(notation: str) -> str:
    """A notation without the names of parts that stand in capitals; the keys of a part with ``?`` may all be missing."""
    while (longer := _PART.sub(_part, notation)) != notation:
        notation = longer
    return notation


def _part(found: re.Match[str]) -> str:
    part = _PARTS[found[0].rstrip("?")]
    return optional(spelled(part)) if found[0].endswith("?") else part


def _several(name: str) -> tuple[str, str]:
    """The result for several bundles: of each what one alone has, as far as it came, and how it ended."""
    keys = _SINGLE[name][1]
    each = f"{optional(spelled(keys))} bundle catalog directories outcome reason? waits_for? ERROR? exit_code?"
    return f"the same as {name}, for several bundles", f"bundles({each}) exit_code"


#: Title and keys of every result, by its name.
RESULTS = dict(sorted((_SINGLE | {f"{name}-bundles": _several(name) for name in _OF_EACH}).items()))
