"""Deployments of Redis: with TLS and users, with Sentinel, as a Cluster."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.crc import key_slot

from liveserver.cluster.redis_server import RedisServer, find_redis_server, free_port

PASSWORD = "hunter2/:@"  # what has to be percent-encoded
USER = "live:hunter2%2F%3A%40"
SECONDS = 20.0


class Deployment:
    """Redis servers and the URL that a node is configured with; `client(key)` is past the bus."""

    def __init__(self, url: str, clients: Callable[[], list[redis.Redis]]) -> None:
        self.url = url
        self.servers: list[RedisServer] = []
        self._clients = clients

    def empty(self) -> None:
        """Without a key; and what was published before has reached all servers of a cluster."""
        with ExitStack() as stack:
            clients = [stack.enter_context(client) for client in self._clients()]
            listeners = [stack.enter_context(client.pubsub()) for client in clients]
            for listener in listeners:
                listener.subscribe("emptied")
                assert listener.get_message(timeout=SECONDS)
            for client in clients:
                client.flushall()
                client.publish("emptied", "")
            for listener in listeners:
                for _ in clients:
                    assert listener.get_message(timeout=SECONDS)


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds; while it can't be asked, it does not."""
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        time.sleep(0.02)
    pytest.fail("a Redis deployment did not come up")


def cluster_port() -> int:
    """A free port, and so is the cluster's own one, 10,000 above it."""
    while True:
        port = free_port()
        with suppress(OSError), socket.create_server(("127.0.0.1", port + 10_000)):
            return port


@contextmanager
def server(
    directory: Path, *options: str, program: Path | None = None, port: int | None = None
) -> Iterator[RedisServer]:
    directory.mkdir()
    one = RedisServer(port or free_port(), directory, options=options, program=program)
    one.start()
    try:
        with redis.Redis(port=one.port) as client:
            wait(lambda: client.info("server")["process_id"] == one.process.pid)
        yield one
    finally:
        one.stop()


def tls_server() -> Path:
    """A redis-server that was built with TLS; not all are."""
    for place in os.environ["PATH"].split(os.pathsep):
        for name in ("redis-server", "valkey-server"):
            if program := shutil.which(name, path=place):
                tried = subprocess.run(
                    [program, "--port", "0", "--tls-port", str(free_port())], capture_output=True, text=True
                )
                if "Bad directive" not in tried.stdout + tried.stderr:
                    return Path(program)
    pytest.skip("no redis-server on the PATH was built with TLS")


@contextmanager
def encrypted(directory: Path) -> Iterator[Deployment]:
    """A server with TLS and a user; both are required."""
    authority, certificate, key = make_certificate(directory)
    port = free_port()
    files = [
        "--tls-cert-file",
        str(certificate),
        "--tls-key-file",
        str(key),
        "--tls-ca-cert-file",
        str(authority),
    ]
    with server(
        directory / "tls", "--tls-port", str(port), "--tls-auth-clients", "no", *files, program=tls_server()
    ) as one:
        plain = redis.Redis(port=one.port)
        plain.execute_command("ACL", "SETUSER", "live", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        plain.execute_command("ACL", "SETUSER", "default", "off")
        url = f"rediss://{USER}@127.0.0.1:{port}/0?ssl_ca_certs={authority}"
        deployment = Deployment(url, lambda: [redis.Redis(port=one.port, username="live", password=PASSWORD)])
        deployment.servers.append(one)
        yield deployment


@contextmanager
def watched(directory: Path) -> Iterator[Deployment]:
    """A master and its replica with a password, and a Sentinel."""
    with ExitStack() as stack:
        master = stack.enter_context(server(directory / "master"))
        to_master = "--replicaof", "127.0.0.1", str(master.port)
        replica = stack.enter_context(
            server(directory / "replica", *to_master, "--repl-diskless-sync-delay", "0")
        )
        clients = [redis.Redis(port=one.port) for one in (master, replica)]
        wait(lambda: clients[1].info("replication")["master_link_status"] == "up")
        for client in clients:
            client.config_set("masterauth", PASSWORD)
            client.config_set("requirepass", PASSWORD)
        port = free_port()
        configuration = directory / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            f'sentinel auth-pass mymaster "{PASSWORD}"\n'
            "sentinel down-after-milliseconds mymaster 1500\nsentinel failover-timeout mymaster 2000\n"
        )
        # pytest shows what it prints when the test fails.
        sentinel = subprocess.Popen([find_redis_server(), configuration, "--sentinel"])
        stack.callback(sentinel.wait)
        stack.callback(sentinel.kill)
        asked = redis.Redis(port=port)
        wait(lambda: len(asked.sentinel_slaves("mymaster")) == 1)
        url = f"redis+sentinel://:hunter2%2F%3A%40@127.0.0.1:{free_port()},127.0.0.1:{port}/mymaster"
        deployment = Deployment(url, lambda: [redis.Redis(port=master.port, password=PASSWORD)])
        deployment.servers += [master, replica]
        yield deployment


@contextmanager
def clustered(directory: Path, video: str = "v") -> Iterator[Deployment]:
    """Three masters, and a replica of the one that has this video: the first and the last."""
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500",
               "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"]  # fmt: skip
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(server(directory / f"node{n}", *options, port=cluster_port()))
            for n in range(4)
        ]
        clients = [redis.Redis(port=node.port) for node in nodes]
        edges = [0, 5461, 10923, 16384]
        mine = next(n for n in range(3) if edges[n] <= key_slot(video.encode()) < edges[n + 1])
        order = [mine, *(n for n in range(3) if n != mine)]
        for client, n in zip(clients, order, strict=False):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(edges[n], edges[n + 1]))
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        first = clients[0].execute_command("CLUSTER", "MYID").decode()
        wait(lambda: all(len(client.cluster("nodes")) == 4 for client in clients))
        wait(lambda: bool(clients[3].execute_command("CLUSTER", "REPLICATE", first)))
        wait(lambda: clients[3].info("replication")["master_link_status"] == "up")
        wait(lambda: all(client.cluster("info")["cluster_state"] == "ok" for client in clients))
        wait(lambda: all("slave" in str(client.cluster("nodes")) for client in clients))
        url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{nodes[1].port}"
        deployment = Deployment(url, lambda: [redis.Redis(port=node.port) for node in nodes[:3]])
        deployment.servers += nodes
        yield deployment


def make_certificate(directory: Path) -> tuple[Path, Path, Path]:
    """A throw-away authority, and a certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return directory / "cert.pem", directory / "cert.pem", directory / "key.pem"
