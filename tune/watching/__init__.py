"""What looks on while trials run: the live table, metrics, outcomes, the watchdog, other loggers."""
