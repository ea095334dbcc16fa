"""A bundle as one page to look at and to print."""
