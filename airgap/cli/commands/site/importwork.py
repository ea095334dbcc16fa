"""``import --scheduler``: large blobs sent to a registry by Dask workers, volume by volume, from a file system that all share.

This machine verifies, judges and decides, sends what is small, writes manifests and sets names. A task says which blobs go where,
and no secret: a worker reads auth files where it runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.store import BundleStore
from airgap.cli.options.stores import Reach, registry
from airgap.cli.terminal.console import Console
from airgap.crew import scheduler
from airgap.crew.answers import answer_of, read_answer
from airgap.crew.sending import Batch, batches_of, send_batch, sent_by
from airgap.errors import UsageError
from airgap.format import names
from airgap.naming.mapping import RegistryTarget, TargetSpec
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Repository
from airgap.progress import Progress


@dataclass(frozen=True)
class SendTask:
    """The large blobs of one volume. Sent through the scheduler, where others may read it: there is nothing secret in it.

    Attributes:
        versions: of the client.
        batch: which blobs, from where, to where.
        reach: how the registry is reached: names and paths.
        threads: blobs sent at a time.
    """

    versions: Mapping[str, str]
    batch: Batch
    reach: Reach
    threads: int


def send_on_worker(task: SendTask) -> bytes:
    """Send the blobs of a task; runs on a worker."""

    def work() -> bytes:
        with registry(task.reach, task.threads, Console(quiet=True)) as target:
            return send_batch(task.batch, target, task.threads)

    return answer_of(task.versions, work)


@dataclass(frozen=True)
class Senders:
    """Has blobs sent by the workers of a scheduler (``importer.load.Crew``).

    Attributes:
        address: of the scheduler.
        reach, threads: as of :class:`SendTask`.
    """

    address: str
    reach: Reach
    threads: int

    @classmethod
    def of(cls, address: str, spec: TargetSpec, repair: bool, reach: Reach, threads: int) -> Senders | None:
        """None without an address.

        Args:
            repair: whether volumes may be rebuilt on this machine.

        Raises:
            UsageError: it is no address, the target is no registry, or volumes would not be where workers see them; or the extra
                is not installed.
        """
        if not address:
            return None
        scheduler.check_address(address)
        if not isinstance(spec, RegistryTarget):
            hint = "omit --scheduler: only a registry can be written to by several machines"
            raise UsageError("--scheduler needs a registry as its target", where="--to", got=str(spec), hint=hint)
        if repair:
            hint = "run airgap media repair first, or omit --repair or --scheduler"
            raise UsageError("--repair does not go with --scheduler", where="--scheduler", hint=hint)
        return cls(address, reach.elsewhere(), threads)

    def send(
        self,
        store: BundleStore,
        wanted: Sequence[tuple[Repository, Descriptor]],
        held: Mapping[Digest, Repository],
        progress: Progress,
    ) -> Collection[Digest]:
        """As of ``Crew``. Raises besides as ``scheduler.run_all``, and what a worker's blobs failed with."""
        batches = batches_of(store, wanted, held)
        sent: set[Digest] = set()

        def took(number: int, answer: bytes) -> None:
            where = f"the answer of a worker about {names.volume_name(number)}"
            sent.update(sent_by(read_answer(answer, where), batches[number], where))
            progress.advance(batches[number].size, 1)

        if batches:
            progress.stage("loading by workers", sum(batch.size for batch in batches.values()), len(batches), "volume")
            tasks = {n: SendTask(scheduler.versions(), batch, self.reach, self.threads) for n, batch in batches.items()}
            scheduler.run_all(self.address, send_on_worker, tasks, took, progress.say)
        return sent
