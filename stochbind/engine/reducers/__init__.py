"""Statistics that are added up while a run goes on, each by one class, in one fixed order."""
