"""The folder of an experiment, local or in a bucket: paths, trials' files, rows, tables."""
