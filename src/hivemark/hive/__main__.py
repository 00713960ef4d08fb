"""`python -m hivemark.hive`."""

from hivemark.hive.main import main

if __name__ == "__main__":
    main()
