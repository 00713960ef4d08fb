"""Work that goes on by itself: every loop is `step(now) -> work done`, run and watched by one runner."""
