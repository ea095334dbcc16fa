"""The documents that airgap writes to files, by the name in their ``schema``, in the notation of :mod:`airgap.schemas.notation`.

Formats of other specifications (the fields of an OCI descriptor) keep their names, so what a key means is said for each document.
"""

from __future__ import annotations

from airgap.schemas.keys import KEYS
from airgap.schemas.notation import Keys
from airgap.schemas.results import RESULTS

_LISTS = {"type": "array", "items": {"type": "array"}}
_STRICT = "A reader of this format refuses other keys. The format is described in docs/{}."
_FREE = "Readers must accept keys that are not listed here: later versions may add some. It is described in docs/{}."

_BUNDLE: Keys = {
    "annotations": ("map of texts", "by name: annotations of the descriptor"),
    "artifactType": ("text", "artifact type of the manifest"),
    "attachments": ("objects", "what belongs to the image without being part of it"),
    "base": (
        {"type": ["array", "string", "null"], "items": {"type": "string"}},
        "of the bundle: digests of the catalogs it builds on; of a patch: digest of the blob it applies to, or null",
    ),
    "blob": ("digest", "the patch itself"),
    "block_size": ("number", "bytes of a block"),
    "blocks": ("texts", "SHA-256 of every block in hexadecimal"),
    "blobs": ("map of objects", "by digest: where a blob is"),
    "children": ("objects", "descriptors of the manifests in an index"),
    "codec": ("text", "method of a patch"),
    "created": ("time", "when the bundle was made"),
    "data": ("text", "base64 of the content"),
    "digest": ("digest", "digest of the content"),
    "expires": ("time or null", "when the bundle expires; null: never"),
    "extents": ({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}, "[volume from 1, offset, length]"),
    "foreign": ("digests", "layers that may not be distributed and are not carried"),
    "held": ("yes or no", "always true: the site has the blob"),
    "images": ("objects", "every image in the order of the list"),
    "kind": ("text", "kind of the attachment"),
    "made": ("map of texts", "by digest: base64 of content that was made for this bundle"),
    "manifests": ("objects", "every manifest of the images"),
    "mediaType": ("text", "media type of the content"),
    "name": ("text", "name of the file"),
    "omitted": ("digests", "children of indexes that are left out"),
    "parity": ("objects", "the parity files"),
    "patch": ("object", "how a blob is made that is not carried"),
    "places": ("map of texts", "by reference: where an image comes from if not from a registry"),
    "platform": ({"type": "object", "additionalProperties": {"type": "string"}}, "platform as in OCI image-spec"),
    "platforms": ("texts", "what the image runs on, for people"),
    "previous": ("text or null", "digest of the catalog of the previous bundle of the stream; null: none"),
    "recipients": ("objects", "the content key, wrapped for every site"),
    "reference": ("text", "full reference of the image"),
    "remarks": ("texts", "what a person should know"),
    "repositories": ("texts", "repositories that had a held blob"),
    "repository": ("text", "repository that a manifest is fetched from if it is not the image's own"),
    "serial": ("number", "number of the bundle in its stream"),
    "sha256": ("text", "SHA-256 of the file in hexadecimal"),
    "size": ("number", "size in bytes"),
    "stream": ("text", "name of the stream"),
    "subject": ("digest", "digest of the manifest that the attachment belongs to"),
    "tag": ("text", "tag of the attachment"),
    "tags": ("text", "base64 of the encrypted tags of all pieces"),
    "tool": ("text", "the program that made it"),
    "volume_size": ("number or null", "largest size of a volume in bytes; null: no limit"),
    "volumes": ("objects", "the volumes"),
}
_CARRY: Keys = {
    "block_size": ("number", "bytes of a block"),
    "bundle": ("text", "name of the bundle"),
    "catalog": ("digest", "digest of the bundle's catalog"),
    "catalogs": ("map of objects", "by digest of a catalog: how the latest attempt ended"),
    "checked": ("object or null", "result of a check of the media; null: none"),
    "code": ("number", "exit code that an import would have had"),
    "content": ("text", "the signature"),
    "cut": ("number", "bytes of a torn entry that stood in its place"),
    "disk": ("text", "label of this disk"),
    "disks": ({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}, "by label: its files"),
    "exit_code": ("number", "exit code of the check"),
    "file": ("digest", "digest of the result file of the check"),
    "form": ("text", "sig or asc"),
    "key": ("text", "id of the key; of an attempt what must change before another one"),
    "outcome": ("text", "imported, refused, failed or waiting"),
    "previous": ("text or null", "digest of the line before; null: it is the first"),
    "request": ("digest", "digest of the request that is answered"),
    "result": ("text", "result of the check"),
    "signature": ("object", "a signature over the line without this key"),
    **{key: KEYS[key] for key in ("at", "name", "note", "number", "serial", "where", "who")},
    "stream": ("text", "name of the stream"),
}
_SITE: Keys = {
    "blobs": ("objects", "blobs, packed by their repositories"),
    "catalog": ("text", "digest of the bundle's catalog"),
    "created": ("time", "when it was made"),
    "digest": ("digest", "digest; at the end of the document, of everything before it"),
    "generations": ("objects", "the generations of the target when the plan was made"),
    "given_up": ("texts", "names to remove, unless something else needs them, although kept generations had them"),
    "images": ({"type": "object", "additionalProperties": {"type": "object"}}, "by repository and tag: digest"),
    "in_force": KEYS["in_force"],
    "keep": KEYS["keep"],
    "made": ("time", "when the plan was made"),
    "manifests": ({"type": "array"}, "manifests: in a receipt packed by their repositories, in a plan their digests"),
    "name": ("text", "a name at the target"),
    "names": ("objects", "names with what they refer to"),
    "remove": ("object", "what is removed"),
    "repositories": ({"type": "array"}, "repositories; in a row positions in that list"),
    "repository": ("text", "the repository; empty for a layout"),
    "serial": ("number", "number of the bundle"),
    "sha256": ("text", "base64 of SHA-256 digests, 32 bytes each"),
    "sha512": ("text", "base64 of SHA-512 digests, 64 bytes each"),
    "site": ("text", "name of the site"),
    "size": ("number", "size in bytes"),
    "sizes": ("text", "base64 of the sizes (docs/receipts.md)"),
    "stay": ("texts", "names that stay although they might have been removed"),
    "steps": ("objects", "what is removed from every repository"),
    "stream": ("text", "name of the stream"),
    "streams": ("map of objects", "by stream: the newest bundle taken"),
    "target": ("text", "the target as it was named"),
    "tool": ("text", "the program that made it"),
}
_DESCRIPTOR = "mediaType digest size artifactType? annotations? platform?"
_HANGING = f"attachments(kind subject {_DESCRIPTOR} tag? data?)?"
_IMAGES = f"images(reference {_DESCRIPTOR} platforms? omitted? foreign? {_HANGING} volumes?)"
_FILES = "volumes(name size sha256 blocks) parity(name size sha256 blocks)"
_NUMBERED: Keys = {**_BUNDLE, "volumes": ({"type": "array"}, "the volumes; of an image the numbers of those that it needs")}

#: Title, what readers must know, keys, and what those mean, of every document by its name.
DOCUMENTS: dict[str, tuple[str, str, str, Keys]] = {
    "catalog": (
        "catalog.json of a bundle: the signed list of everything in it",
        _FREE.format("format.md"),
        f"stream serial created expires tool previous base block_size volume_size {_FILES} {_IMAGES}"
        " blobs(size extents? held? repositories? patch(codec base blob)?)",
        _NUMBERED,
    ),
    "check": (
        "the file of media check --result: the result of media-check, and who checked",
        _FREE.format("media.md"),
        f"checked by host tool {RESULTS['media-check'][1]}",
        {
            **KEYS,
            "checked": ("time", "when it was checked"),
            "by": ("text", "who checked"),
            "host": ("text", "on which machine"),
            "tool": ("text", "the program that checked"),
        },
    ),
    "custody": (
        "one line of custody.jsonl: who had a medium",
        _STRICT.format("custody.md"),
        "number catalog at who where note checked(result exit_code file) previous cut signature(key form content)?",
        _CARRY,
    ),
    "disks": ("DISKS.json: which file is on which disk", _FREE.format("media.md"), "bundle catalog disk disks", _CARRY),
    "journal": (
        "first line of journal.jsonl of an unfinished export; for airgap alone",
        "Only the version that wrote it reads it.",
        "inputs lock stream serial created expires sha256",
        {**_BUNDLE, "inputs": ("text", "what was asked for"), "lock": ("digest", "digest of lock.json")},
    ),
    "lock": (
        "an image list pinned to digests",
        _FREE.format("lists.md"),
        f"{_IMAGES} manifests({_DESCRIPTOR} blobs({_DESCRIPTOR})? children({_DESCRIPTOR})? repository?) places? made? remarks?",
        {**_NUMBERED, "blobs": ("objects", "descriptors of the config and the layers")},
    ),
    "prune": (
        "the plan of prune --plan: what is to be removed from a target",
        "It ends with its own digest; a plan that was changed is refused. It is described in docs/life.md.",
        "target made generations(stream serial catalog in_force keep)"
        " steps(repository remove(names(name digest) manifests blobs(digest size)) stay names(name digest)) given_up digest",
        _SITE,
    ),
    "receipt": (
        "what a site holds, for the exporter",
        _STRICT.format("receipts.md"),
        "site created tool target streams(serial catalog) repositories images"
        " manifests(repositories sha256? sha512? sizes) blobs(repositories sha256? sha512? sizes)",
        _SITE,
    ),
    "request": (
        "which blocks of a bundle a site needs again",
        _STRICT.format("format.md"),
        "stream serial catalog block_size files",
        {**_CARRY, "files": ({"type": "object", "additionalProperties": _LISTS}, "by name of a file: [first block, last block]")},
    ),
    "result": (
        "STREAM-SERIAL.result.json of watch: how the import of a bundle ended",
        _FREE.format("watch.md"),
        "bundle catalog outcome at stream? serial? target ERROR? exit_code? waits_for?"
        " image_count? volume_count? bytes? scope? signers? reasons? IMPORTED? remarks?",
        KEYS,
    ),
    "sealed": (
        "catalog.json of an encrypted bundle",
        _STRICT.format("format.md"),
        f"stream serial created expires block_size piece_size volume_size {_FILES} recipients(key ephemeral secret) catalog tags",
        {
            **_BUNDLE,
            "catalog": ("text", "base64 of the encrypted catalog"),
            "ephemeral": ("text", "base64 of a one-time public key"),
            "key": ("text", "id of the site's key"),
            "piece_size": ("number", "bytes of an encrypted piece"),
            "secret": ("text", "base64 of the wrapped content key"),
        },
    ),
    "supplement": (
        "supplement.json: which blocks the files of a supplement hold",
        _STRICT.format("format.md"),
        "catalog request files",
        {**_CARRY, "files": ({"type": "array", "items": _LISTS}, "for every file: [file of the bundle, first block, last block]")},
    ),
    "watch": (
        "watch.json in the state: how the latest attempt at every bundle ended; for airgap alone",
        "Only airgap watch reads it, and a lost one is started again.",
        "catalogs(name outcome code key)",
        _CARRY,
    ),
}
