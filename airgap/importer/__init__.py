"""The disconnected side: open media -> verify -> gate -> load -> tag -> state."""
