"""The rows of the table of parsers, by what they read."""
