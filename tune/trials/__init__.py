"""What a worker runs: one trial, its data, its log, its patience with the storage, reasons and notices."""
