"""Pure rules of the fleet: the link's channel, leases and placement; no clock, network or storage."""
