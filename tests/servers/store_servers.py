"""Where recordings lie elsewhere: OpenSSH's server, moto's S3, and an emulator of Google's storage, as processes."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from broker_process import Server, free_port

SSHD = Path("/usr/sbin/sshd")
BUCKET = "recordings"
SECRET = "hush-hush-hush"


@dataclass(frozen=True)
class Store:
    """A server with a folder of recordings.

    Attributes:
        kind: Its scheme.
        server: The process.
        url: Of the folder.
        put: Writes a file there.
        environment: How it is found, and who asks.
    """

    kind: str
    server: Server
    url: str
    put: Callable[[str, bytes], object]
    environment: dict[str, str]


def missing(kind: str) -> str | None:
    """Why there can be no such store here."""
    if kind == "sftp":
        if not SSHD.exists() or shutil.which("ssh-keygen") is None:
            return "needs OpenSSH's server (apt-get install openssh-server)"
        return None if find_spec("paramiko") else "needs vidan[sftp]"
    wanted = {"s3": ("s3fs", "moto", "flask_cors"), "gs": ("gcsfs", "gcp_storage_emulator")}[kind]
    lacking = [name for name in wanted if find_spec(name) is None]
    return f"needs {', '.join(lacking)}: pip install 'vidan[dev]'" if lacking else None


def start_store(kind: str, folder: Path) -> Store:
    return {"sftp": _sftp, "s3": _s3, "gs": _gs}[kind](folder)


def make_key(path: Path) -> str:
    """A new key pair; its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_name(f"{path.name}.pub").read_text()


def _sftp(folder: Path) -> Store:
    home, files, port = folder / "home", folder / "files", free_port()
    (home / ".ssh").mkdir(parents=True)
    files.mkdir()
    host = make_key(folder / "host").split()
    (folder / "authorized").write_text(make_key(home / ".ssh/id_ed25519"))
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)  # it locks itself in there
    settings = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'host'}",
        f"AuthorizedKeysCommand {shutil.which('cat')} {folder / 'authorized'}",  # others than this user may come, too
        f"AuthorizedKeysCommandUser {getpass.getuser()}",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
        "Subsystem sftp internal-sftp",
    ]
    (folder / "sshd.conf").write_text("\n".join(settings) + "\n")
    server = Server([str(SSHD), "-D", "-f", str(folder / "sshd.conf")], port)
    server.start()

    def put(name: str, content: bytes) -> None:
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_bytes(content)

    url = f"sftp://{getpass.getuser()}@127.0.0.1:{port}{files}"
    return Store("sftp", server, url, put, {"HOME": str(home), "SSH_AUTH_SOCK": ""})


def _s3(folder: Path) -> Store:
    port = free_port()
    server = Server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)
    server.start()
    try:
        return _opened_s3(server, folder)
    except BaseException:
        server.kill()
        raise


def _opened_s3(server: Server, folder: Path) -> Store:
    """With a bucket, and a user who may do everything; others may do nothing."""
    boto3: Any = import_module("boto3")  # comes with moto
    endpoint = f"http://127.0.0.1:{server.port}"
    anybody = {"aws_access_key_id": "anybody", "aws_secret_access_key": "anybody", "endpoint_url": endpoint}
    iam = boto3.client("iam", region_name="us-east-1", **anybody)
    iam.create_user(UserName="reader")
    allowed = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=json.dumps(allowed))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    _post(f"{endpoint}/moto-api/reset-auth", b"0")  # from now on it looks at keys and signatures
    environment = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }
    secrets = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, **secrets)
    client.create_bucket(Bucket=BUCKET)

    def put(name: str, content: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=name, Body=content)

    return Store("s3", server, f"s3://{BUCKET}", put, environment)


def _gs(folder: Path) -> Store:
    port = free_port()
    program = "from gcp_storage_emulator.__main__ import main; main()"
    options = ["--host", "127.0.0.1", "--port", str(port), "--in-memory", "--quiet", "--default-bucket", BUCKET]
    server = Server([sys.executable, "-c", program, "start", *options], port)
    server.start()
    endpoint = f"http://127.0.0.1:{port}"

    def put(name: str, content: bytes) -> None:
        url = f"{endpoint}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name.replace('/', '%2F')}"
        _post(url, content)

    nobody = {"GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": str(folder / "none")}
    return Store("gs", server, f"gs://{BUCKET}", put, {"STORAGE_EMULATOR_HOST": endpoint, **nobody})


def _post(url: str, content: bytes) -> None:
    kind = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, content, kind, method="POST")).close()
