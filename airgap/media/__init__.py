"""What people carry: spread a bundle over media, check it without keys, repair it, log who had it, report what is on it."""
