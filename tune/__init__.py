"""The service: many points of the trade-off as Ray Tune trials, and the Pareto fronts of their networks."""
