"""A second reader of bundles and documents, written from docs/format.md, docs/receipts.md, docs/custody.md and docs/media.md alone.

It shares no code with airgap (a test holds that) and keeps everything in memory. Where it and airgap disagree, one of them or
the page is wrong.
"""
