"""The cellar: arrays in, arrays out; nothing here knows of models, games or files."""
