"""The state directory: what a site or exporter remembers."""

from airgap.state.custody import Carried
from airgap.state.generations import Brought, Generation
from airgap.state.intents import Sealing
from airgap.state.memory import Event, Known, KnownName, Remembered, State
from airgap.state.standing import Stood
from airgap.state.turns import Holder, Turn

__all__ = [
    "Brought", "Carried", "Event", "Generation", "Holder", "Known", "KnownName", "Remembered", "Sealing", "State", "Stood", "Turn",
]  # fmt: skip
