"""What a command line may be: spellings, values, and how it is explained in the help, in man pages and to shells."""
