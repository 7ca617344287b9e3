"""Recipes as TOML files, found by name; `tinyreader.distil.recipe` reads them."""
