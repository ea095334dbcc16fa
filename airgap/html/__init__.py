"""The HTML of airgap's pages: one style sheet, the few elements they consist of, and drawings. Pure.

A page needs nothing but itself: no script, nothing from a network. Everything that is not ours goes through ``elements.text``.
"""
