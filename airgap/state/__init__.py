"""The state directory: what a site or exporter remembers (design section 6)."""

from airgap.state.memory import Event, Known, Remembered, State

__all__ = ["Event", "Known", "Remembered", "State"]
