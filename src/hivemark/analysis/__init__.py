"""Pure rules that read results: right answers and agreement; no clock, network or storage."""
