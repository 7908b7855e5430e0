"""Routes, one file a group: they translate, and leave deciding to others."""
