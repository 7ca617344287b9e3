"""Drop-in readers for other libraries, with the names, parameters and results that their users know."""
