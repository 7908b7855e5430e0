"""The model that ships inside the package, and what makes it again from nothing."""
