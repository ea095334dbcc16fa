"""Where images come from: registries, and every place that an image list can name."""
