"""Models: how they are built, loaded, saved, split into components and placed on a device."""
