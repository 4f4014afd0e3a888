"""Makes keys, a JWKS file and tokens with PyJWT; prints {"accept": [...], "refuse": [...]}.

Usage: jwt_peer.py DIRECTORY HS-SECRET
"""
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

directory, secret = sys.argv[1:]
now = int(time.time())
claims = {"sub": "peer", "tenant": "demo", "iss": "local", "aud": "sandbox", "iat": now, "exp": now + 300}

keys = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
writer = {"rsa": RSAAlgorithm, "p256": ECAlgorithm, "p384": ECAlgorithm, "ed": OKPAlgorithm}
jwks = []
for kid, key in keys.items():
    jwk = writer[kid].to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    jwks.append({**jwk, "kid": kid, "use": "sig"})
with open(directory + "/peer.jwks", "w") as out:
    json.dump({"keys": jwks}, out)

accept, refuse = [], []
signers = [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed")]
for alg in ("HS256", "HS384", "HS512"):
    accept.append({"name": alg, "token": jwt.encode(claims, secret, alg)})
for alg, kid in signers:
    accept.append({"name": alg, "token": jwt.encode(claims, keys[kid], alg, headers={"kid": kid})})
accept.append({"name": "aud as array", "token": jwt.encode({**claims, "aud": ["x", "sandbox"]}, secret, "HS256")})
accept.append({"name": "nbf now", "token": jwt.encode({**claims, "nbf": now}, secret, "HS256")})


def bad(name, changes, key=secret, alg="HS256", **headers):
    body = {k: v for k, v in {**claims, **changes}.items() if v is not None}
    refuse.append({"name": name, "token": jwt.encode(body, key, alg, headers=headers or None)})


for alg, kid in signers:
    bad(f"{alg} under the kid of another key", {}, keys[kid], alg, kid="p384" if kid != "p384" else "rsa")
    bad(f"{alg} with an unknown kid", {}, keys[kid], alg, kid="nobody")
bad("expired", {"exp": now - 3600})
bad("no exp", {"exp": None})
bad("not yet", {"nbf": now + 3600})
bad("another issuer", {"iss": "other"})
bad("another audience", {"aud": "other"})
bad("audiences without ours", {"aud": ["a", "b"]})
bad("no tenant", {"tenant": None})
bad("another secret", {}, "0" * 64)
bad("RS384, which is not offered", {}, keys["rsa"], "RS384", kid="rsa")
refuse.append({"name": "alg none", "token": jwt.encode(claims, None, "none")})
print(json.dumps({"accept": accept, "refuse": refuse}))
