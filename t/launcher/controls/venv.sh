# title: a virtual environment without pip, and a program started by its shebang
python3 -m venv --without-pip /workspace/venv
printf '#!/workspace/venv/bin/python3\nimport sys; print(sys.prefix)\n' > /workspace/prog
chmod +x /workspace/prog
[ "$(/workspace/prog)" = /workspace/venv ] && echo WORKS
