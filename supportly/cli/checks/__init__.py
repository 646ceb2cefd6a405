"""What `doctor` looks at: each check answers findings, and never raises for what it finds."""
