"""A one-step economy that is taxed: people of unequal skill choose how much to earn, and the designer chooses the tax."""
