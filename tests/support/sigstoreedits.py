"""All changes that the differential test makes about a good cosign signature, one by one."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.sigstorecertedits import certificate_edits
from tests.support.sigstorekeyedits import key_edits, pem_edits, signature_edits
from tests.support.sigstoreparts import ALL, Edit
from tests.support.sigstoretextedits import json_edits, log_edits, name_edits

# several signatures


def _layer_edits() -> Iterable[Edit]:
    yield Edit("layers garbage-before", "layers", ALL, lambda layers, _: (type(layers[0])(b"x", {}), *layers))
    yield Edit(
        "layers garbage-after",
        "layers",
        ALL,
        lambda layers, _: (*layers, type(layers[0])(b"y", {"dev.cosignproject.cosign/signature": "x"})),
    )
    yield Edit("layers twice", "layers", ALL, lambda layers, _: layers + layers)
    yield Edit("layers none", "layers", ALL, lambda layers, _: ())


EDITS: tuple[Edit, ...] = (
    *pem_edits(), *key_edits(), *signature_edits(), *json_edits(), *name_edits(), *log_edits(), *certificate_edits(),
    *_layer_edits(),
)  # fmt: skip
