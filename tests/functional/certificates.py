"""Certificates for servers on this machine."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself; `key.pem` lies beside it."""
    certificate = folder / "certificate.pem"
    options = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", folder / "key.pem", "-out", certificate]
    subprocess.run(["openssl", *options.split(), *files], check=True, capture_output=True)
    return certificate
