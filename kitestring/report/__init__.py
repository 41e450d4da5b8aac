"""The evening's report: one page for a day, made from what its run left on disk and nothing else."""
