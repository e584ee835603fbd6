"""What a run tells those who watch over it: probes, Prometheus, systemd."""
