#!/usr/bin/env python3
"""Writes cases.json: tokens, good and hostile, and what the gateway must make of each.

    tests/jwt/make_cases.py          (needs python3-cryptography)

Keys that RFCs publish are used as they are; others are made anew with each run. Every vector of an RFC is checked with
python3-cryptography before it is written, so that a misprint here is no finding there.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

FAR = 4102444800  # 2100
LONG_AGO = 1300819380
SECRET = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"  # RFC 7515, A.1
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data):
    data = data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text):
    return int.from_bytes(unb64(text), "big")


def from_number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


# --- keys ---------------------------------------------------------------------------------------

RFC7515_RSA = {
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
RFC7515_P256 = {"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}
RFC7515_P521 = {
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}
RFC8037_D, RFC8037_X = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC7520_RSA = {
    "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    "e": "AQAB",
}
BILBO = "bilbo.baggins@hobbiton.example"

rsa_key = rsa.generate_private_key(65537, 2048)
other_rsa = rsa.generate_private_key(65537, 2048)
p256 = ec.derive_private_key(number(RFC7515_P256["d"]), ec.SECP256R1())
p384, p521 = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())
ed25519_key = ed25519.Ed25519PrivateKey.from_private_bytes(unb64(RFC8037_D))
ed448_key = ed448.Ed448PrivateKey.generate()
KEYS = {"RS": rsa_key, "PS": rsa_key, "ES256": p256, "ES384": p384, "ES512": p521}


def public_jwk(key, **more):
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": from_number(numbers.n), "e": from_number(numbers.e), **more}
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers, size = public.public_numbers(), (public.curve.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[public.curve.key_size]
        return {"kty": "EC", "crv": curve, "x": from_number(numbers.x, size), "y": from_number(numbers.y, size), **more}
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519" if len(raw) == 32 else "Ed448", "x": b64(raw), **more}


# --- signatures ---------------------------------------------------------------------------------


def sign(algorithm, text, key=None):
    text = text.encode()
    digest = HASHES.get(algorithm[2:])
    if algorithm.startswith("HS"):
        return hmac.new(key or unb64(SECRET), text, getattr(hashlib, "sha" + algorithm[2:])).digest()
    key = key or KEYS.get(algorithm[:2]) or KEYS.get(algorithm) or ed25519_key
    if algorithm.startswith("RS"):
        return key.sign(text, padding.PKCS1v15(), digest)
    if algorithm.startswith("PS"):
        return key.sign(text, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    if algorithm.startswith("ES"):
        r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(digest)))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(text)


def token(algorithm="RS256", claims=None, header=None, key=None, raw_header=None, raw_payload=None):
    head = {"alg": algorithm, "typ": "JWT", **(header or {})}
    head = b64(raw_header if raw_header is not None else {name: value for name, value in head.items() if value is not None})
    body = {"sub": "alice", "exp": FAR, **(claims or {})}
    body = b64(raw_payload if raw_payload is not None else {name: value for name, value in body.items() if value is not None})
    return f"{head}.{body}.{b64(sign(algorithm, head + '.' + body, key))}"


def with_signature(text, signature):
    return text.rpartition(".")[0] + "." + (signature if isinstance(signature, str) else b64(signature))


# --- what the gateway is told -------------------------------------------------------------------

RSA_1 = public_jwk(rsa_key, kid="rsa-1", use="sig")
CONFIGS = {
    "rsa": {"jwks": {"keys": [RSA_1]}},
    "rs256": {"algorithms": ["RS256"], "jwks": {"keys": [RSA_1]}},
    "many": {
        "jwks": {
            "keys": [
                {"kty": "RSA", "use": "enc", "kid": "enc", "n": RSA_1["n"], "e": "AQAB"},
                public_jwk(other_rsa, kid="rsa-2", alg="PS256"),
                RSA_1,
                public_jwk(p256, kid="p256"),
                public_jwk(p384, kid="p384", key_ops=["verify"]),
                public_jwk(p521, kid="p521"),
                public_jwk(ed25519_key, kid="ed25519", x5t="x"),
                public_jwk(ed448_key, kid="ed448"),
            ]
        }
    },
    "p256": {"jwks": {"keys": [public_jwk(p256)]}},
    "ed": {"jwks": {"keys": [public_jwk(ed25519_key)]}},
    "hmac": {"secret_file": "SECRET"},
    "hs512": {"secret_file": "SECRET", "algorithms": ["HS512"]},
    "issuer": {"issuer": "https://issuer.example/", "audiences": ["api", "admin"], "jwks": {"keys": [RSA_1]}},
    "roles": {"require_claims": {"role": ["admin", "ops"], "email_verified": True}, "jwks": {"keys": [RSA_1]}},
    "scope": {"require_claims": {"scope": "write"}, "jwks": {"keys": [RSA_1]}},
    "nested": {"require_claims": {"realm_access.roles": ["admin"]}, "user_claim": "preferred.name", "jwks": {"keys": [RSA_1]}},
    "optional": {"required": False, "jwks": {"keys": [RSA_1]}},
    "rfc7515-a2": {"jwks": {"keys": [{"kty": "RSA", **RFC7515_RSA}]}},
    "rfc7515-a4": {"jwks": {"keys": [{"kty": "EC", "crv": "P-521", **RFC7515_P521}]}},
    "rfc7520": {"jwks": {"keys": [{"kty": "RSA", "kid": BILBO, "use": "sig", **RFC7520_RSA}]}},
    "strict": {"leeway": "0s", "jwks": {"keys": [RSA_1]}},
}

cases = []


def good(name, config, text, user="alice"):
    cases.append({"name": name, "config": config, "token": text, "status": 200, "user": user})


def bad(name, config, text, reason, status=401):
    cases.append({"name": name, "config": config, "token": text, "status": status, "reason": reason})


def good_cases():
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        good(f"{algorithm}", "rsa", token(algorithm, header={"kid": "rsa-1"}))
    good("ES256", "many", token("ES256", header={"kid": "p256"}))
    good("ES384", "many", token("ES384", header={"kid": "p384"}))
    good("ES512", "many", token("ES512", header={"kid": "p521"}))
    good("EdDSA with Ed25519", "many", token("EdDSA", header={"kid": "ed25519"}))
    good("EdDSA with Ed448", "many", token("EdDSA", header={"kid": "ed448"}, key=ed448_key))
    for algorithm in ("HS256", "HS384", "HS512"):
        good(algorithm, "hmac", token(algorithm))
    good("no kid, many keys", "many", token("RS256"))
    good("no kid, ECDSA among many keys", "many", token("ES384"))
    good("a kid, a key without one", "p256", token("ES256", header={"kid": "whatever"}))
    good("the key is for one algorithm, and it is this", "many", token("PS256", header={"kid": "rsa-2"}, key=other_rsa))
    good("no typ", "rsa", token(header={"typ": None}))
    good("another typ", "rsa", token(header={"typ": "at+jwt"}))
    good("unknown header members", "rsa", token(header={"x-y": {"z": [1]}, "x5t": "abc"}))
    good("blanks in the JSON", "rsa", token(raw_header=' {"alg" : "RS256"} ', raw_payload='{ "sub":"alice",\r\n "exp":4102444800 }'))
    good("exp with a fraction", "rsa", token(claims={"exp": FAR + 0.5}))
    good("exp in exponent form", "rsa", token(raw_payload='{"sub":"alice","exp":4.1e9}'))
    good("nbf and iat in the past", "rsa", token(claims={"nbf": 1, "iat": 1.5}))
    good("issuer and one audience", "issuer", token(claims={"iss": "https://issuer.example/", "aud": "api"}))
    good("an audience among others", "issuer", token(claims={"iss": "https://issuer.example/", "aud": ["x", "admin"]}))
    good("a role that is wanted", "roles", token(claims={"role": "ops", "email_verified": True}))
    good("a list of roles", "roles", token(claims={"role": ["x", "admin"], "email_verified": True}))
    good("a scope among others", "scope", token(claims={"scope": "read write"}))
    good("members of claims", "nested", token(claims={"realm_access": {"roles": ["a", "admin"]}, "preferred": {"name": "al"}}), user="al")
    good("sub is a number", "rsa", token(claims={"sub": 42}), user="42")
    good("unicode", "rsa", token(claims={"sub": "zoë"}), user="zoë")
    good("no sub", "rsa", token(claims={"sub": None}), user=None)
    good("an empty token of claims but exp", "rsa", token(raw_payload=f'{{"exp":{FAR}}}'), user=None)
    good("15 KiB", "rsa", token(claims={"pad": "x" * 11000}))
    good("optional, and here", "optional", token())


def rfc_cases():
    """What is signed there has expired or is no set of claims: that this is found, and nothing else, shows that the signature was good."""
    a1 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    payload = a1.split(".")[1]
    a2 = f"eyJhbGciOiJSUzI1NiJ9.{payload}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    a3 = f"eyJhbGciOiJFUzI1NiJ9.{payload}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    a4 = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
    eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    frodo = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
    rs256 = f"eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{frodo}.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
    ps384 = f"eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{frodo}.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
    public = lambda jwk: rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()  # noqa: E731
    point = lambda curve, jwk: ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), curve).public_key()  # noqa: E731
    for name, config, text, reason, check in (
        ("RFC 7515 A.1, HS256", "hmac", a1, "expired", None),
        ("RFC 7515 A.2, RS256", "rfc7515-a2", a2, "expired", public(RFC7515_RSA)),
        ("RFC 7515 A.3, ES256", "p256", a3, "expired", point(ec.SECP256R1(), RFC7515_P256)),
        ("RFC 7515 A.4, ES512", "rfc7515-a4", a4, "malformed", point(ec.SECP521R1(), RFC7515_P521)),
        ("RFC 8037 A.4, EdDSA", "ed", eddsa, "malformed", ed25519_key.public_key()),
        ("RFC 7520 4.1, RS256", "rfc7520", rs256, "malformed", public(RFC7520_RSA)),
        ("RFC 7520 4.2, PS384", "rfc7520", ps384, "malformed", public(RFC7520_RSA)),
    ):
        check_vector(name, text, check)
        bad(name, config, text, reason)
        broken = text[:-30] + ("A" if text[-30] != "A" else "B") + text[-29:]
        bad(name + ", a bit of it changed", config, broken, "unknown_key" if "kid" not in unb64(text.split(".")[0]).decode() else "signature")
    unsecured = f"eyJhbGciOiJub25lIn0.{payload}."
    bad("RFC 7515 A.5, none", "rsa", unsecured, "algorithm")


def check_vector(name, text, key):
    signed, _, signature = text.rpartition(".")
    algorithm, signature = json.loads(unb64(signed.split(".")[0]))["alg"], unb64(signature)
    digest = HASHES.get(algorithm[2:])
    try:
        if key is None:
            assert signature == sign(algorithm, signed)
        elif algorithm.startswith("RS"):
            key.verify(signature, signed.encode(), padding.PKCS1v15(), digest)
        elif algorithm.startswith("PS"):
            key.verify(signature, signed.encode(), padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        elif algorithm.startswith("ES"):
            half = len(signature) // 2
            pair = utils.encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
            key.verify(pair, signed.encode(), ec.ECDSA(digest))
        else:
            key.verify(signature, signed.encode())
    except (InvalidSignature, AssertionError):
        raise SystemExit(f"{name}: misprinted here") from None


def attacks_on_algorithms():
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = rsa_key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    payload = b64({"sub": "alice", "exp": FAR})
    for none in ("none", "None", "NONE", "nOnE", ""):
        bad(f"alg {none!r}, no signature", "rsa", f"{b64({'alg': none})}.{payload}.", "algorithm")
    bad("alg none with a good signature", "rsa", token(header={"alg": "none"}), "algorithm")
    bad("HS256 with the public key in PEM", "rsa", token("HS256", key=pem), "algorithm")
    bad("HS256 with the public key in DER", "rsa", token("HS256", key=der), "algorithm")
    bad("HS256 with the modulus", "rsa", token("HS256", key=unb64(RSA_1["n"])), "algorithm")
    bad("HS256 where HS512 is wanted", "hs512", token("HS256"), "algorithm")
    bad("RS512 where RS256 is wanted", "rs256", token("RS512"), "algorithm")
    bad("PS256 where RS256 is wanted", "rs256", token("PS256"), "algorithm")
    bad("RS256 for a secret", "hmac", token("RS256"), "algorithm")
    bad("says RS256, signed PS256", "rsa", with_signature(token("RS256"), sign("PS256", token("RS256").rpartition(".")[0])), "unknown_key")
    bad("lower case", "rsa", token("RS256", header={"alg": "rs256"}), "algorithm")
    bad("a key of another type by its kid", "many", token("ES256", header={"kid": "rsa-1"}), "algorithm")
    bad("a curve of another key by its kid", "many", token("ES256", header={"kid": "p384"}), "algorithm")
    bad("a key that is for PS256 alone", "many", token("RS256", header={"kid": "rsa-2"}, key=other_rsa), "algorithm")
    bad("a key for encryption", "many", token("RS256", header={"kid": "enc"}), "unknown_key")
    bad("no alg", "rsa", token(raw_header="{}"), "algorithm")
    bad("alg is a number", "rsa", token(raw_header='{"alg":256}'), "malformed")
    bad("alg is a list", "rsa", token(raw_header='{"alg":["RS256"]}'), "malformed")
    bad("alg twice", "rsa", token(raw_header='{"alg":"none","alg":"RS256"}'), "malformed")
    bad("alg escaped to the same name twice", "rsa", token(raw_header='{"\\u0061lg":"none","alg":"RS256"}'), "malformed")


def attacks_on_headers():
    own = public_jwk(other_rsa, kid="evil")
    for name, header in (
        ("jwk", {"jwk": own}),
        ("jwk and its kid", {"jwk": own, "kid": "evil"}),
        ("jku", {"jku": "http://127.0.0.1:1/jwks.json", "kid": "evil"}),
        ("x5u", {"x5u": "http://127.0.0.1:1/cert.pem", "kid": "evil"}),
        ("x5c", {"x5c": [b64(b"x")], "kid": "evil"}),
    ):
        bad(f"brings its own key: {name}", "rsa", token(header=header, key=other_rsa), "unknown_key")
    bad("its own key under our kid", "rsa", token(header={"jwk": own, "kid": "rsa-1"}, key=other_rsa), "signature")
    for kid in ("../../../../dev/null", "x' UNION SELECT 'key';--", "|sleep 5", "\x00", "a" * 2000, ""):
        bad(f"kid {kid[:30]!r}", "rsa", token(header={"kid": kid}, key=other_rsa), "unknown_key")
    bad("kid is a number", "rsa", token(header={"kid": 1}), "malformed")
    bad("kid is null", "rsa", token(raw_header='{"alg":"RS256","kid":null}'), "malformed")
    bad("crit", "rsa", token(header={"crit": ["exp"], "exp": FAR}), "malformed")
    bad("crit, empty", "rsa", token(header={"crit": []}), "malformed")
    bad("b64 false (RFC 7797)", "rsa", token(header={"b64": False, "crit": ["b64"]}), "malformed")
    bad("header is a list", "rsa", token(raw_header='["alg"]'), "malformed")
    bad("header is no JSON", "rsa", token(raw_header="alg=RS256"), "malformed")
    bad("header with a comment", "rsa", token(raw_header='{"alg":"RS256"/* */}'), "malformed")
    bad("header with something behind", "rsa", token(raw_header='{"alg":"RS256"}{}'), "malformed")
    bad("header nested 1000 deep", "rsa", token(raw_header='{"alg":"RS256","x":' + "[" * 1000 + "]" * 1000 + "}"), "malformed")
    bad("header not in UTF-8", "rsa", token(raw_header=b'{"alg":"RS256","x":"\xff"}'), "malformed")


def attacks_on_signatures():
    whole = token("RS256", header={"kid": "rsa-1"})
    head, payload, signature = whole.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other_last = last[last.index(signature[-1]) ^ 1]
    admin = b64({"sub": "root", "exp": FAR})
    bad("another payload", "rsa", f"{head}.{admin}.{signature}", "signature")
    bad("another header", "rsa", f"{b64({'alg': 'RS256', 'kid': 'rsa-1', 'x': 1})}.{payload}.{signature}", "signature")
    bad("no signature", "rsa", f"{head}.{payload}.", "signature")
    bad("a signature of one byte", "rsa", f"{head}.{payload}.AA", "signature")
    bad("a signature of zeros", "rsa", with_signature(whole, bytes(256)), "signature")
    bad("a byte behind the signature", "rsa", with_signature(whole, unb64(signature) + b"\0"), "signature")
    bad("a byte before the signature", "rsa", with_signature(whole, b"\0" + unb64(signature)), "signature")
    bad("bits behind the last byte", "rsa", f"{head}.{payload}.{signature[:-1]}{other_last}", "malformed")
    bad("padding behind the signature", "rsa", whole + "==", "malformed")
    bad("padding in the header", "rsa", f"{head}=.{payload}.{signature}", "malformed")
    bad("the digits of base64", "rsa", f"{head}.{payload}.{signature[:-4]}+/+/", "malformed")
    bad("a tab within", "rsa", f"{head}.{payload[:9]}\t{payload[9:]}.{signature}", "signature")
    bad("a blank within", "rsa", f"{head}. {payload}.{signature}", "signature")
    bad("a fourth part", "rsa", whole + ".AAAA", "malformed")
    bad("five parts, a JWE", "rsa", f"{b64({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.AA.AA.AA.AA", "malformed")
    bad("two parts", "rsa", f"{head}.{payload}", "malformed")
    bad("dots", "rsa", "..", "malformed")
    bad("a dot", "rsa", ".", "malformed")
    bad("one word", "rsa", "letmein", "malformed")
    bad("JSON serialization", "rsa", json.dumps({"payload": payload, "protected": head, "signature": signature}), "malformed")
    bad("two tokens", "rsa", f"{whole}, {whole}", "malformed")
    bad("over 16 KiB", "rsa", token(claims={"pad": "x" * 13000}), "too_long")
    elliptic = token("ES256", header={"kid": "p256"})
    pair = unb64(elliptic.rpartition(".")[2])
    r, s = int.from_bytes(pair[:32], "big"), int.from_bytes(pair[32:], "big")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for name, made in (
        ("zeros (CVE-2022-21449)", bytes(64)),
        ("in DER", utils.encode_dss_signature(r, s)),
        ("in DER, zeros", utils.encode_dss_signature(0, 0)),
        ("with R zero", bytes(32) + pair[32:]),
        ("with S zero", pair[:32] + bytes(32)),
        ("with R and S the order", order.to_bytes(32, "big") * 2),
        ("with R grown by the order", (r + order).to_bytes(33, "big") + s.to_bytes(33, "big")),
        ("short of a byte", pair[:-1]),
        ("with a byte behind", pair + b"\0"),
        ("empty", b""),
        ("of P-384's size", bytes(16) + pair[:32] + bytes(16) + pair[32:]),
    ):
        bad(f"ECDSA {name}", "many", with_signature(elliptic, made), "signature")
    edwards = token("EdDSA", header={"kid": "ed25519"})
    bad("EdDSA zeros", "many", with_signature(edwards, bytes(64)), "signature")
    order = 2**252 + 27742317777372353535851937790883648493
    made = unb64(edwards.rpartition(".")[2])
    grown = made[:32] + (int.from_bytes(made[32:], "little") + order).to_bytes(32, "little")
    bad("EdDSA with S grown by the order", "many", with_signature(edwards, grown), "signature")
    bad("HMAC cut", "hmac", with_signature(token("HS256"), unb64(token("HS256").rpartition(".")[2])[:16]), "unknown_key")
    bad("HMAC empty", "hmac", with_signature(token("HS256"), ""), "unknown_key")
    bad("HMAC with another secret", "hmac", token("HS256", key=b"x" * 64), "unknown_key")
    bad("HMAC with no secret", "hmac", token("HS256", key=b"\0"), "unknown_key")
    bad("a key that is not there", "rsa", token(header={"kid": "rsa-9"}), "unknown_key")


def attacks_on_claims():
    for name, exp in (
        ("no exp", None),
        ("exp is a text", str(FAR)),
        ("exp is true", True),
        ("exp is a list", [FAR]),
        ("exp is negative", -1),
        ("exp over 2^53", 2**53 + 2),
        ("exp over 2^64", 2**70),
        ("exp in the year of 1e300", 1e300),
    ):
        bad(name, "rsa", token(claims={"exp": exp}), "malformed")
    bad("exp is null", "rsa", token(raw_payload='{"exp":null}'), "malformed")
    bad("exp over a double", "rsa", token(raw_payload='{"exp":1e400}'), "malformed")
    bad("exp is NaN", "rsa", token(raw_payload='{"exp":NaN}'), "malformed")
    bad("exp twice", "rsa", token(raw_payload='{"exp":1,"exp":4102444800}'), "malformed")
    bad("sub twice", "rsa", token(raw_payload='{"sub":"alice","sub":"root","exp":4102444800}'), "malformed")
    bad("expired", "rsa", token(claims={"exp": LONG_AGO}), "expired")
    bad("expired in 1970", "rsa", token(claims={"exp": 0}), "expired")
    bad("nbf in the future", "rsa", token(claims={"nbf": FAR - 1}), "not_yet_valid")
    bad("iat in the future", "rsa", token(claims={"iat": FAR - 1}), "not_yet_valid")
    bad("nbf is a text", "rsa", token(claims={"nbf": "0"}), "malformed")
    bad("iat is a list", "rsa", token(claims={"iat": []}), "malformed")
    bad("nbf over 2^53", "rsa", token(claims={"nbf": 2**60}), "malformed")
    bad("no issuer", "issuer", token(claims={"aud": "api"}), "issuer")
    bad("another issuer", "issuer", token(claims={"iss": "https://issuer.example", "aud": "api"}), "issuer")
    bad("issuer in a list", "issuer", token(claims={"iss": ["https://issuer.example/"], "aud": "api"}), "malformed")
    bad("no audience", "issuer", token(claims={"iss": "https://issuer.example/"}), "audience")
    bad("another audience", "issuer", token(claims={"iss": "https://issuer.example/", "aud": "apis"}), "audience")
    bad("no audience in the list", "issuer", token(claims={"iss": "https://issuer.example/", "aud": []}), "audience")
    bad("audience is a number", "issuer", token(claims={"iss": "https://issuer.example/", "aud": 1}), "malformed")
    bad("payload is a list", "rsa", token(raw_payload="[]"), "malformed")
    bad("payload is a text", "rsa", token(raw_payload='"x"'), "malformed")
    bad("payload is empty", "rsa", token(raw_payload=""), "malformed")
    bad("payload nested 1000 deep", "rsa", token(raw_payload='{"exp":4102444800,"x":' + "[" * 1000 + "]" * 1000 + "}"), "malformed")
    bad("payload not in UTF-8", "rsa", token(raw_payload=b'{"exp":4102444800,"sub":"\xc0\xaf"}'), "malformed")
    bad("payload is a token (cty JWT)", "rsa", token(header={"cty": "JWT"}, raw_payload=token()), "malformed")
    bad("no role", "roles", token(claims={"email_verified": True}), "claims", 403)
    bad("another role", "roles", token(claims={"role": "admins", "email_verified": True}), "claims", 403)
    bad("a role that is true", "roles", token(claims={"role": True, "email_verified": True}), "claims", 403)
    bad("the other claim is false", "roles", token(claims={"role": "ops", "email_verified": False}), "claims", 403)
    bad("a scope that only begins so", "scope", token(claims={"scope": "writer read"}), "claims", 403)
    bad("optional, but bad", "optional", token(key=other_rsa), "unknown_key")


def main():
    good_cases()
    rfc_cases()
    attacks_on_algorithms()
    attacks_on_headers()
    attacks_on_signatures()
    attacks_on_claims()
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    out = Path(__file__).with_name("cases.json")
    out.write_text(json.dumps({"secret": SECRET, "configs": CONFIGS, "cases": cases}, indent=1, ensure_ascii=False) + "\n")
    print(f"{out}: {sum(case['status'] == 200 for case in cases)} good, {sum(case['status'] != 200 for case in cases)} bad")


if __name__ == "__main__":
    main()
