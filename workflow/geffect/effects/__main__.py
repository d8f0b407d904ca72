"""`python -m geffect.effects`: the same as `geffect effects`."""

from geffect.effects.command import main

if __name__ == "__main__":
    main()
