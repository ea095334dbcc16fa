"""The command line: the only place that builds registries, layouts and bundles and hands them to the flows."""
