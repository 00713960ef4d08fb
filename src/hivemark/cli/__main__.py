"""`python -m hivemark.cli`, for machines where the script is not on the path."""

from hivemark.cli.main import main

main()
