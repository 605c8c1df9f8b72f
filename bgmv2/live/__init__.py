"""A camera matted live: its pictures, a plate of the empty room, and what other programs get to see."""
