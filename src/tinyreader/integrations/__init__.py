"""Tinyreader in place of what other libraries had: each module here offers the names that their users
know.
"""
