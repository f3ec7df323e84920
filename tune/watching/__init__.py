"""What looks on while trials run: the ledger, and from it the live table, metrics, outcomes, the watchdog; other loggers."""
