"""Tokens and the keys they are signed with. (Hostile ones are data: tests/jwt.)"""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SECRET = "a secret of the tests, long enough for HMAC"


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(claims):
    return {"sub": "alice", "exp": int(time.time()) + 600, **claims}


def secret_token(secret=SECRET, **claims):
    text = f"{b64({'alg': 'HS256'})}.{b64(claims_of(claims))}"
    return f"{text}.{b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}"


class IssuerKey:
    """An Ed25519 key of an issuer."""

    def __init__(self, kid):
        self.kid, self._key = kid, Ed25519PrivateKey.generate()

    def token(self, kid=None, **claims):
        text = f"{b64({'alg': 'EdDSA', 'kid': kid or self.kid})}.{b64(claims_of(claims))}"
        return f"{text}.{b64(self._key.sign(text.encode()))}"

    @property
    def jwk(self):
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": b64(raw)}


def key_set(*keys):
    return {"keys": [key.jwk for key in keys]}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}
