"""What a picture shows, and how far pictures are from each other, by a classifier that ships with momalisa."""
