"""`python -m geffect.cost`: the same as `geffect cost`."""

from geffect.cost.command import main

if __name__ == "__main__":
    main()
