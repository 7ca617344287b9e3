"""Teaching a small student to read as its teacher does: recipes, students, losses, the training loop."""
