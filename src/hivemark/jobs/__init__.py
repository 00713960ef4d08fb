"""Pure rules of jobs: life cycles, cells, completion and effective requests."""
