"""Configuration with which the hosts of a site find and trust imported images."""
