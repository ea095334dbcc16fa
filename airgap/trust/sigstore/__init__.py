"""Keyless signatures, judged offline by a trusted root of the site's own."""
