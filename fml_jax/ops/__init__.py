"""Array operations tuned for CPUs, each beside its plain equivalent."""
