"""What a [model] table says of a system: its name, keys and presets, what it needs, what may be tried for it."""
