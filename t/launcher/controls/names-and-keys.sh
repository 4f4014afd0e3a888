# title: a key and a certificate by openssl, the public certificates, names of ports and protocols, another time zone
set -e
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=a -days 1 -keyout key -out cert 2> log || { cat log >&2; exit 1; }
openssl verify -CAfile cert cert > /dev/null
python3 - << 'END'
import socket
import ssl

assert socket.getservbyname("https") == 443 and socket.getprotobyname("udp") == 17
context = ssl.create_default_context()
assert not __import__("os").path.exists("/usr/share/ca-certificates") or context.get_ca_certs()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert", "key")
END
[ "$(TZ=Asia/Tokyo date -d @0 +%H)" = 09 ]
echo WORKS
