"""Where each kind of deployment file names its images."""
