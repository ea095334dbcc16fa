"""List -> lock -> plan: what is to be carried, before a byte of it moves."""
