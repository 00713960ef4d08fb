"""What people and programs use to reach a coordinator; everything received is checked."""
