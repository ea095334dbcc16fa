"""Media: spread a bundle over disks, check it without keys, repair it, log who had it, report what is on it."""
