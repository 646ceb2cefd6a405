"""HTTP: who calls, what they may, how long they wait; the work itself is done by workflows."""
