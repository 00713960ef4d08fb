"""The service: gateway, jobs, placement, credits and log; decisions are made here and nowhere else."""
