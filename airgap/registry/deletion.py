"""Removing from registries: manifests by digest (distribution-spec "Deleting Manifests"); their tags go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airgap.errors import NotFound
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.progress import Progress
from airgap.registry.http.refusals import refusal
from airgap.registry.http.transport import Call
from airgap.registry.store import RegistryStore
from airgap.work import Pool

_DELETE = "pull,delete"
_AT_A_TIME = 8


class PrunableRegistry(RegistryStore):
    """A registry that manifests can be removed from. Its blobs are freed by its own garbage collection, never by us."""

    def entries(self, repository: Repository) -> Iterator[tuple[str, Digest]]:
        """Every tag of a repository, as a full name, with the digest that it points to; nothing if there is no repository.

        Raises:
            RegistryError: the registry does not list them.
        """
        try:
            references = [repository.tagged(tag) for tag in self.tags(repository)]
        except NotFound:  # its last tag is gone
            return
        with Pool(_AT_A_TIME, "tags") as pool:
            digests = pool.map(self.resolve, references)
        yield from ((str(name), digest) for name, digest in zip(references, digests, strict=True) if digest is not None)

    def begin(self) -> None:
        """A registry knows no locks."""

    def remove(
        self,
        repository: Repository,
        names: Sequence[tuple[str, Digest]],  # noqa: ARG002 - they go with their manifests
        manifests: Sequence[Digest],
        blobs: Sequence[Digest],  # noqa: ARG002 - other repositories may share them: only the registry knows
        progress: Progress,
    ) -> None:
        """Remove manifests, one after the other in this order; one that is gone already is no error.

        Raises:
            RegistryError: the registry does not let us, or cannot.
        """
        progress.stage(f"removing from {repository}", 0, len(manifests), "manifest")
        for digest in manifests:
            progress.advance(0, 1)
            answer = self._transport.call(Call("DELETE", repository, f"manifests/{digest}", _DELETE))
            if answer.status in (200, 202, 204):
                answer.finish()
                continue
            error = refusal(answer, "the registry does not delete a manifest")
            if isinstance(error, NotFound):
                continue
            if answer.status == 405 or "UNSUPPORTED" in error.got:
                error.hint = "set storage.delete.enabled: true in its configuration (docker-registry), or ask its administrator"
            raise error
