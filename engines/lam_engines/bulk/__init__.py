"""Bulk embedding that goes on after a kill: by one engine in this process, or by many on a Ray cluster.

A partition is a range of texts of one input file. It becomes one Parquet file of the output. The plan in the output's
folder lists the partitions, and a finished partition is a file under its own name. So a run that was killed can go on
where it ended, and no partition is embedded twice.
"""
