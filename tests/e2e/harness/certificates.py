"""Certificates of every kind, made for a test by an authority of its own."""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Pair:
    """A certificate and its key, as files."""

    def __init__(self, cert, key):
        self.cert, self.key = str(cert), str(key)

    @property
    def files(self):
        return {"cert": self.cert, "key": self.key}

    def replace(self, other):
        """As certbot and people do: a new file under the old name, the certificate first."""
        for mine, theirs in ((self.cert, other.cert), (self.key, other.key)):
            fresh = mine + ".new"
            Path(fresh).write_bytes(Path(theirs).read_bytes())
            os.replace(fresh, mine)


class Certificates:
    def __init__(self, folder, name="authority"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        public = self._key.public_key()
        self._certificate = self._build(self._name, public).add_extension(x509.BasicConstraints(True, None), True).sign(self._key, hashes.SHA256())
        self.ca = str(self.folder / "ca.pem")
        Path(self.ca).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _build(self, subject, public, days=30, began=1):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public)
        return builder.serial_number(x509.random_serial_number()).not_valid_before(now - began * DAY).not_valid_after(now + days * DAY)

    def issue(self, *names, ips=(), uris=(), cn="", days=30, kind="ec"):
        """For these host names; without any name or address it has a common name alone."""
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        builder = self._build(_name(cn or (names[0] if names else "nobody")), key.public_key(), days, began=max(1, 1 - days))
        others = [x509.DNSName(one) for one in names] + [x509.IPAddress(ipaddress.ip_address(one)) for one in ips]
        others += [x509.UniformResourceIdentifier(one) for one in uris]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self._count += 1
        pair = Pair(self.folder / f"{self._count}.pem", self.folder / f"{self._count}.key")
        Path(pair.cert).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        Path(pair.key).write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return pair

    # What a test's own side of a connection needs

    def client(self, pair=None, check=True, **versions):
        """Trusts this authority; shows `pair`."""
        context = ssl.create_default_context(cafile=self.ca)
        context.check_hostname = check
        return _finish(context, pair, versions)

    def server(self, pair, require=None, **versions):
        """require: the authority whose certificates clients must have."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if require:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(require.ca)
        return _finish(context, pair, versions)


def _finish(context, pair, versions):
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    for name, version in versions.items():  # minimum_version, maximum_version
        setattr(context, name, version)
    return context


def names(sock):
    """The host names in the certificate that the peer showed."""
    return [value for kind, value in sock.getpeercert()["subjectAltName"] if kind == "DNS"]
