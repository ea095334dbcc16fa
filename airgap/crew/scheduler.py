"""Tasks on the workers of a Dask scheduler: each is done again until a worker has done it, or the work is given up."""

from __future__ import annotations

import contextlib
import logging
import pkgutil
import platform
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from airgap import __version__
from airgap.errors import AirgapError, RegistryError, UsageError, one_line
from airgap.text import plural, printable

T = TypeVar("T")

#: Seconds to reach the scheduler, for a first worker to be there, and without any worker before the work is given up.
_CONNECT, _FIRST, _WITHOUT = 20, 60, 300
#: Seconds between two looks at the scheduler.
_LOOK = 2.0
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://[A-Za-z0-9._\[\]:-]{1,255}", re.ASCII)
_LONGEST = 300


def versions() -> dict[str, str]:
    """What must be the same on the client and on every worker: they exchange Python objects, and the bundle is one."""
    from importlib.metadata import version

    return {"airgap": __version__, "python": platform.python_version(), "distributed": version("distributed")}


def worker_directory() -> Path:
    """Where a task may put its scratch files: the worker's own directory (``dask worker --local-directory``)."""
    import distributed

    return Path(distributed.get_worker().local_directory)


def check_address(address: str) -> None:
    """Raises ``UsageError`` for what is no address of a scheduler, or if the extra is not installed."""
    if not _ADDRESS.fullmatch(address):
        raise UsageError("not the address of a scheduler", got=printable(address), expected="tcp://HOST:PORT or tls://HOST:PORT")
    _library(address)


def run_all(
    address: str,
    work: Callable[[T], bytes],
    tasks: Mapping[int, T],
    took: Callable[[int, bytes], None],
    say: Callable[[str], None],
) -> None:
    """Have every task done by some worker. A task whose worker dies is done again by another.

    Args:
        address: of the scheduler.
        work: a function of a module that every worker has, too.
        tasks: what each is called with, by number.
        took: told the number and the answer of each as it comes; what it raises ends the work.
        say: told in a sentence what a person should know.

    Raises:
        RegistryError: the scheduler is not reached or lost, no worker is left, or a task has cost several workers their lives.
        UsageError: workers cannot run it.
    """
    distributed = _library(address)
    client = _connect(distributed, address)
    try:
        _await_worker(client, address)
        _check_workers(client)
        news = threading.Event()
        waiting: dict[Any, int] = {}
        for number, task in tasks.items():
            future = client.submit(work, task, pure=False, key=f"airgap-{number}-{time.monotonic_ns()}")
            future.add_done_callback(lambda _: news.set())
            waiting[future] = number
        crew = -1
        alone_since: float | None = None
        while waiting:
            try:
                now = len(client.scheduler_info(n_workers=-1)["workers"])
            except OSError as error:
                raise _lost(address, "the scheduler is lost", printable(one_line(str(error)), _LONGEST)) from error
            if now != crew:
                say(f"{plural(now, 'worker')} at {address}, {plural(len(waiting), 'volume')} to do")
            crew = now
            alone_since = None if now else alone_since or time.monotonic()
            if alone_since is not None and time.monotonic() - alone_since > _WITHOUT:
                raise _lost(address, "no worker is left", f"none for {_WITHOUT} seconds")
            if client.status != "running":
                raise _lost(address, "the scheduler is lost", str(client.status))
            for future in [one for one in waiting if one.done()]:
                took(waiting.pop(future), _answer(future, address))
            news.wait(_LOOK)
            news.clear()
    finally:
        _leave(client)


def _answer(future: Any, address: str) -> bytes:
    if future.status in ("cancelled", "lost"):
        raise _lost(address, "the scheduler has dropped the work", future.status)
    if future.status == "error":
        error = future.exception(timeout=_CONNECT)
        name, said = type(error).__name__, printable(one_line(str(error)), _LONGEST)
        if name == "KilledWorker":
            hint = "look at the memory and the disks of the workers, then run the same command again to continue"
            raise RegistryError("a volume has cost several workers their lives", where=address, got=said, hint=hint) from error
        hint = "install the same airgap with the extra `dask` on the scheduler's machine and on every worker"
        raise UsageError("a worker cannot do the work", where=address, got=f"{name}: {said}", hint=hint) from error
    answer = future.result(timeout=_CONNECT)
    if not isinstance(answer, bytes):
        raise UsageError("a worker gave an answer that is not airgap's", where=address, hint="look at who else uses this scheduler")
    return answer


def _library(address: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import distributed
    except ImportError as error:
        raise UsageError(
            "several machines need a package that is not installed",
            where=address,
            expected="distributed",
            hint="install it: pip install 'airgap-bundles[dask]'",
        ) from error
    for logger in ("distributed", "distributed.client", "tornado.application"):  # each has a level of its own there
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # it reports what we say in our own words
    return distributed


def _connect(distributed: Any, address: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions are told by the task itself
            return distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="airgap")
    except (OSError, ValueError, TypeError) as error:
        got = printable(one_line(str(error)), _LONGEST)
        hint = "start it with: dask scheduler, and look at the address"
        raise RegistryError(
            f"the scheduler does not answer within {_CONNECT} seconds", where=address, got=got, hint=hint
        ) from error


def _await_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_FIRST)
    except (TimeoutError, OSError) as error:
        hint = f"start some on each machine: dask worker {address} --nthreads 1"
        raise RegistryError(f"the scheduler has no worker within {_FIRST} seconds", where=address, hint=hint) from error


def _check_workers(client: Any) -> None:
    """Ask for airgap on every worker before any gets a task: one without it would not refuse the task but die of it.

    Raises:
        UsageError: a worker has none, or another version.
    """
    for worker, told in client.run(pkgutil.resolve_name, "airgap:__version__", on_error="return").items():
        if told == __version__:
            continue
        hint = "install the same airgap with the extra `dask` on every worker and on the scheduler's machine"
        if isinstance(told, str):
            what, got = "client and worker differ in their versions", f"airgap {printable(told, _LONGEST)}"
        else:
            what, got = "a worker has no airgap", printable(one_line(str(told)), _LONGEST)
        raise UsageError(what, where=printable(str(worker)), expected=f"airgap {__version__}", got=got, hint=hint)


def _lost(address: str, what: str, got: str) -> AirgapError:
    return RegistryError(what, where=address, got=got, hint="run the same command again to continue")


def _leave(client: Any) -> None:
    """Take back what is not done, and leave; a scheduler that is lost is not waited for."""
    with contextlib.suppress(Exception):  # what counts has been said already
        client.close(timeout=5)
