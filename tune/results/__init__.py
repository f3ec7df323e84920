"""What the rows say: fronts, hypervolume, choices, comparisons, amounts in words. Loads neither Ray nor torch."""
