"""Bulk embedding that scales out: Ray Data hands partitions to workers, each with an engine of its own.

A partition is a run of texts of one input file, and one Parquet file of the output. The plan in the output's folder
says which partitions there are; a finished one is a file under its own name. So a run that was killed goes on where it
ended, and nothing is done twice.
"""
