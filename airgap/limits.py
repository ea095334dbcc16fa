"""Caps that more than one module knows: whatever comes from outside has an end here, before it is read, parsed or shown.

Sizes are in bytes. Of two values for what looks like one thing both are here, with the reason. A cap that one module alone needs
stands in that module.
"""

from __future__ import annotations

_KIB = 1024
_MIB = 1024 * _KIB

# Images.

#: A manifest, an index, or the config of an image: no registry must take more (distribution-spec, "Pushing Manifests").
MAX_MANIFEST = 4 * _MIB
#: An ``index.json`` of a layout, which unlike one in a registry lists everything that is there.
MAX_INDEX = 64 * _MIB
#: Indexes in indexes that are exported and served. Real ones have two levels.
MAX_LEVELS = 4
#: Those that an import takes: it has the bundle already, and only what goes on for ever would harm it.
MAX_LEVELS_TAKEN = 8
#: Manifests of one image, all levels together. Real ones have dozens: a platform each, and its attestations.
MAX_MANIFESTS = 10_000
#: Attachments of one image, and referrers in one list: more would be asked for one by one without an end in sight.
MAX_ATTACHMENTS = 1_000
#: Manifests, lists and small blobs that are under way at a time: they wait for the network and not for its width.
AT_A_TIME = 32
#: A blob that is no more than this many bytes is one of the small ones.
SMALL_BLOB = 64 * _KIB
#: Characters of a repository's path with its host (distribution-spec, "Pulling manifests").
MAX_REPOSITORY = 255

# Signatures.

#: A signature itself, raw or OpenPGP, or what it signs: real ones have a kilobyte, and whoever made it is not known yet.
MAX_SIGNATURE = 64 * _KIB
#: What a registry or a lookaside gives for one, which is carried as it is: as skopeo has it. A sigstore bundle has proofs in it.
MAX_SIGNATURE_BLOB = 4 * _MIB
#: Signatures of each kind that are looked at for one manifest, one catalog or one receipt: as skopeo has it for lookasides.
MAX_SIGNATURES = 128
#: An attestation, with its envelope: SBOMs of large images have some MiB, and a third more in base64. An SPDX document of the 9 MiB
#: that fit takes twelve times as much when it is parsed, which is what any document may take (``strictjson.MAX_MEMORY``).
MAX_ATTESTATION = 12 * _MIB
#: All attestations of one manifest: they are in memory together until it is judged.
MAX_ATTESTATIONS = 64 * _MIB
#: A private or public key of one person or site.
MAX_KEY = 64 * _KIB
#: A file that a policy names: a keyring of many keys.
MAX_KEYRING = 4 * _MIB
#: A trusted root of Sigstore: that of the public instance has 7 KiB.
MAX_TRUSTED_ROOT = _MIB
#: A file of a TUF repository: as much as python-tuf takes of a root; targets of Sigstore have 10 KiB.
MAX_TUF_FILE = 512 * _KIB
#: Roots of a TUF repository one after the other. The public instance has had 13 in five years.
MAX_TUF_ROOTS = 256
#: What a bundle carries of a TUF repository, and what a site keeps of it.
MAX_TUF_REPOSITORY = 8 * _MIB

# Charts.

#: The index of a chart repository; the largest public ones have 20 MiB, after years of versions.
MAX_CHART_INDEX = 64 * _MIB
#: A packaged chart from there, which is kept in memory: Helm itself takes no file above 5 MiB in one.
MAX_CHART = 32 * _MIB
#: What is uncompressed of a chart until its ``Chart.yaml`` is found; Helm uncompresses no more either.
MAX_PLAIN_CHART = 100 * _MIB
#: Charts in an index; each may have many versions.
MAX_INDEXED_CHARTS = 50_000
#: All charts from chart repositories in one run.
MAX_CHARTS = 256 * _MIB

#: A file behind a URL, which is streamed.
MAX_WEB_FILE = 64 * 1024 * _MIB

#: A git repository with its refs, as a file.
MAX_GIT = 16 * 1024 * _MIB
#: What git answers to a question, such as the refs of a repository.
MAX_GIT_ANSWER = 64 * _MIB

# What people write.

#: A policy (containers-policy.json(5)).
MAX_POLICY = 4 * _MIB
#: A file of mapping rules.
MAX_RULES_FILE = 8 * _MIB
#: A file that is attached to an image: it is kept in memory and in the lock.
MAX_ATTACHED_FILE = 32 * _MIB
#: Characters of a stream's name: every file system takes the bundle's directory.
MAX_STREAM = 48
#: A file of settings: auth.json, registries.conf, registries.d, htpasswd, revoked keys. All of it is parsed at every start.
MAX_SETTINGS = _MIB

# Documents of ours.

#: A catalog: a million blobs in 100,000 images, and the blocks of 10 TB. Often there is no signature, so it may be anybody's.
MAX_CATALOG = 256 * _MIB
#: What may be kept in memory of a catalog or a lock while it is read: as many.
MAX_CATALOG_MEMORY = 416 * _MIB
#: A lock: as many blobs as a catalog, and the manifests that lead to them.
MAX_LOCK = 256 * _MIB
#: A receipt: as many, and the memory that it may take as JSON.
MAX_RECEIPT, MAX_RECEIPT_MEMORY = 64 * _MIB, 192 * _MIB
#: A custody log: 10,000 entries.
MAX_LOG = 4 * _MIB
#: A request to send blocks again.
MAX_REQUEST = 16 * _MIB
#: The list of a supplement: what a request names, and where it lies.
MAX_SUPPLEMENT = 32 * _MIB
#: What a check found, on all media.
MAX_RESULT = 256 * _MIB
#: A file of the names that images got at the target.
MAX_NAMES_FILE = 256 * _MIB
#: A plan of what to remove.
MAX_PLAN = 256 * _MIB
#: Sites that one bundle is encrypted to.
MAX_RECIPIENTS = 256
#: Volumes and parity files of one bundle, if it has parity files: a code over GF(2^8) has no more (format.md, "Parity").
MAX_SHARES = 256

# Disks.

#: Entries of one folder that may hold bundles: more are no bundle's.
MAX_FOLDER = 10_000
#: The largest file, by the kernel's name of the file system.
LARGEST_FILE = {"vfat": 2**32 - 1, "msdos": 2**31 - 1}

# What people see.

#: Characters of one line.
MAX_LINE = 10_000
#: Characters of what another program said about its failure.
MAX_SAID = 2000
