"""A live web page over the results of experiments: it reads what is on disk and needs neither Ray nor a run."""
