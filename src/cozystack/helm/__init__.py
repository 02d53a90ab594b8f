"""Real Helm behind one small interface, with two back ends."""
