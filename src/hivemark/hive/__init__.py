"""The agent on one machine: it joins, offers models, supervises workers and signs receipts."""
