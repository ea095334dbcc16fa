"""Commands of the site: import, verify, watch, serve, receipt, prune, rollback, mirror-config."""
