"""The state directory: what a site or exporter remembers."""

from airgap.state.custody import Carried
from airgap.state.generations import Accepted, Brought, Generation
from airgap.state.history import Event
from airgap.state.intents import Sealing
from airgap.state.memory import Known, Remembered, State
from airgap.state.owners import KnownName
from airgap.state.standing import Stood
from airgap.state.turns import Holder, Turn
from airgap.state.underway import Beginning

__all__ = [
    "Accepted", "Beginning", "Brought", "Carried", "Event", "Generation", "Holder", "Known", "KnownName", "Remembered", "Sealing",
    "State", "Stood", "Turn",
]  # fmt: skip
