# title: pip installs a local wheel, without an index, and it can be imported
# needs: /usr/lib/python3/dist-packages/pip
# limits: memory=512m
import subprocess
import sys
import zipfile

with zipfile.ZipFile("/workspace/hello-1.0-py3-none-any.whl", "w") as z:
    z.writestr("hello/__init__.py", "def greet():\n    return 'hello from a wheel'\n")
    z.writestr("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    z.writestr("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("hello-1.0.dist-info/RECORD", "hello/__init__.py,,\nhello-1.0.dist-info/METADATA,,\nhello-1.0.dist-info/WHEEL,,\nhello-1.0.dist-info/RECORD,,\n")
run = subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--no-cache-dir", "--target", "/workspace/lib", "/workspace/hello-1.0-py3-none-any.whl"],
                     capture_output=True, text=True)
assert run.returncode == 0, run.stderr
sys.path.insert(0, "/workspace/lib")
import hello
assert hello.greet() == "hello from a wheel"
print("WORKS")
