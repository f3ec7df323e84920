"""Which points to try: lists, grids, designs, ranges of lambda, Optuna's study."""
