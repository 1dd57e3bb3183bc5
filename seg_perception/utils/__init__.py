"""Small helpers without any robotics in them."""
