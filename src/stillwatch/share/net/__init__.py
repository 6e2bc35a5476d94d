"""What hub and key-holder ask of a request alike."""
