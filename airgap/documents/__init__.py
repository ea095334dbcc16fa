"""Documents about bundles, each with its signature check: receipt, custody log, resend request, difference."""
