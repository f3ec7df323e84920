"""The cluster, the command's settings, the stopping rule and the sampler as Ray sees them."""
