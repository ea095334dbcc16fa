"""Commands for what is carried: media, report, toolkit. None takes a key or a network."""
