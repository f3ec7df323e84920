"""The folder of an experiment, local or in a bucket: places, trials' files, rows, tables."""
