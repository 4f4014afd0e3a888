# title: http.server and urllib over loopback, v4 and v6
import http.server
import socket
import threading
import urllib.request

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 300000)
    def log_message(self, *_):
        pass

class V6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

for kind, host, name in ((http.server.ThreadingHTTPServer, "127.0.0.1", "localhost"), (V6, "::1", "[::1]")):
    server = kind((host, 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert len(urllib.request.urlopen("http://%s:%d/" % (name, server.server_address[1]), timeout=10).read()) == 300000
    server.shutdown()
print("WORKS")
