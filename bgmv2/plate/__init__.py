"""Everything about the plate: the clean background that was filmed without the subject."""
